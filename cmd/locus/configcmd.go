package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

type configCmd struct {
	Check   configCheckCmd   `cmd:"" help:"Check a configuration file and the environment without starting anything."`
	Show    configShowCmd    `cmd:"" help:"Show what is set, and where. Secrets are not shown."`
	Example configExampleCmd `cmd:"" help:"Print a configuration file with every setting, its meaning and its default, all as comments."`
}

type configCheckCmd struct {
	jsonFlags
}

// verdict is what a check found.
type verdict struct {
	File     string   `json:"file,omitempty"`
	Settings int      `json:"settings"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

// Run has the flags of serve read the settings, and serve look at them.
func (c configCheckCmd) Run(said *configured) error {
	v := verdict{File: said.path, Settings: len(said.values), Errors: []string{}, Warnings: []string{}}
	if said.wrong != nil {
		v.Errors = strings.Split(said.wrong.Error(), "\n")
		return v.tell(c.JSON)
	}
	var fresh cli
	k, err := commandLine(&fresh)
	if err != nil {
		return err
	}
	if _, err := k.Parse([]string{"serve"}); err != nil {
		v.Errors = append(v.Errors, err.Error())
	} else {
		if _, err := fresh.Serve.check(); err != nil {
			v.Errors = append(v.Errors, err.Error())
		}
		for _, err := range fresh.Serve.refusals() {
			v.Errors = append(v.Errors, err.Error())
		}
		if c, err := fresh.Serve.collector(); err == nil { // it was looked at
			v.Warnings = append(v.Warnings, c.env.Remarks...)
		}
	}
	v.Warnings = append(v.Warnings, said.exposed(settings(k.Model))...)
	v.Warnings = append(v.Warnings, said.misspelt(settings(k.Model))...)
	return v.tell(c.JSON)
}

func (v verdict) tell(asJSON bool) error {
	if asJSON {
		if err := printJSONLine(v); err != nil {
			return err
		}
	} else {
		for _, w := range v.Warnings {
			if err := printed("warning: %s\n", w); err != nil {
				return err
			}
		}
		where := "no configuration file"
		if v.File != "" {
			where = v.File
		}
		if len(v.Errors) == 0 {
			return printed("%s: %d settings with the environment's, good to start with\n", where, v.Settings)
		}
	}
	if len(v.Errors) > 0 {
		return errors.New(strings.Join(v.Errors, "\n"))
	}
	return nil
}

type configShowCmd struct {
	jsonFlags
}

// Run lists what environment and file say. Flags of a command are that command's.
func (c configShowCmd) Run(said *configured, k *kong.Kong) error {
	all := settings(k.Model)
	type line struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		From  string `json:"from"`
	}
	lines := []line{}
	for _, env := range slices.Sorted(maps.Keys(said.values)) {
		lines = append(lines, line{all[env].key(), shown(all[env], said.values[env]), said.from[env]})
	}
	if c.JSON {
		return printJSONLine(lines)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, strings.ReplaceAll(l.Value, "\n", " "), l.From)
	}
	if len(lines) == 0 {
		fmt.Fprintln(w, "nothing is set: all is as by default")
	}
	return w.Flush()
}

// shown is a value without what is secret in it.
func shown(s setting, value string) string {
	if !s.secret() {
		return value
	}
	lines := strings.Split(value, "\n")
	for i, line := range lines {
		name, address := "", line
		if before, after, ok := strings.Cut(line, "="); ok && strings.Contains(after, "://") && !strings.Contains(before, "://") {
			name, address = before+"=", after
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" {
			return "(secret)"
		}
		if u.Query().Get("password") != "" {
			return "(secret)"
		}
		lines[i] = name + u.Redacted()
	}
	return strings.Join(lines, "\n")
}

type configExampleCmd struct{}

// Run prints the settings of serve first, then those that only other commands have.
func (configExampleCmd) Run(k *kong.Kong) error {
	return printed("%s", exampleConfig(k))
}

func exampleConfig(k *kong.Kong) string {
	var b strings.Builder
	b.WriteString("# Settings of Aurora Locus. Each can be an environment variable, too: LOCUS_ and the name in capitals, with _ for -.\n" +
		"# What the environment says goes before this file, and a command's flags before both. NAME-file names a file that\n" +
		"# holds the value. 'locus config check' looks whether all is well.\n")
	all := settings(k.Model)
	for _, env := range slices.SortedFunc(maps.Keys(all), func(a, b string) int { return strings.Compare(all[a].key(), all[b].key()) }) {
		s := all[env]
		value := ""
		help := s.help
		if s.flag != nil {
			help, _, _ = strings.Cut(help, "; default: ")
			value = quoted(s.flag.Default)
		}
		fmt.Fprintf(&b, "\n%s#%s: %s\n", comment(help), s.key(), value)
	}
	return strings.ReplaceAll(b.String(), ": \n", ":\n")
}

// quoted is a text as YAML reads it.
func quoted(text string) string {
	var read map[string]yaml.Node
	if err := yaml.Unmarshal([]byte("x: "+text), &read); err != nil || text != "" && read["x"].Value != text {
		return strconv.Quote(text)
	}
	return text
}

// comment breaks a text into lines of a comment.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 118 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}
