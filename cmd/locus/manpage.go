package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct{}

// Run prints the manual page: groff reads it.
func (manCmd) Run(k *kong.Kong) error {
	return printed("%s", manual(k.Model))
}

// manual is the page locus(1) in the form of man(7). It is made of what --help shows, so it cannot say anything else.
func manual(app *kong.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH LOCUS 1 \"\" \"locus %s\" \"Aurora Locus\"\n", roff(version()))
	fmt.Fprintf(&b, ".SH NAME\nlocus \\- host many AT Protocol Personal Data Servers\n.SH SYNOPSIS\n.B locus\n.I command\n[\\fIflags\\fR]\n")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(app.Help))
	b.WriteString(".SH GLOBAL FLAGS\n")
	manFlags(&b, app.Flags)
	b.WriteString(".SH COMMANDS\n")
	manCommands(&b, app.Node)
	b.WriteString(".SH FILES\n.TP\n" + roff(defaultConfig) + "\nSettings, where it exists: see \\fBlocus config example\\fR.\n")
	b.WriteString(".SH ENVIRONMENT\nFlags above name the variables that stand for them. NAME_FILE names a file that holds the value of NAME.\n")
	for _, env := range []string{"LOCUS_S3_ACCESS_KEY", "LOCUS_S3_SECRET_KEY", "LOCUS_BACKUP_S3_ACCESS_KEY", "LOCUS_BACKUP_S3_SECRET_KEY", tracesHeaders, "LOCUS_OPERATOR", "LOCUS_PG_BIN"} {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", env, roff(environmentOnly[env]))
	}
	return b.String()
}

func manCommands(b *strings.Builder, node *kong.Node) {
	for _, n := range node.Children {
		if n.Hidden {
			continue
		}
		if n.Leaf() {
			fmt.Fprintf(b, ".SS %s\n%s\n", roff("locus "+n.Path()), roff(n.Help))
			for _, p := range n.Positional {
				fmt.Fprintf(b, ".TP\n.I %s\n%s\n", roff(p.Summary()), roff(p.Help))
			}
			manFlags(b, n.Flags)
		}
		manCommands(b, n)
	}
}

func manFlags(b *strings.Builder, flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s", roff(f.String()), roff(f.Help))
		if len(f.Envs) > 0 {
			fmt.Fprintf(b, " (%s)", roff(strings.Join(f.Envs, ", ")))
		}
		b.WriteByte('\n')
	}
}

// roff is text that groff takes as it stands.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
