package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func model(t *testing.T) *kong.Application {
	t.Helper()
	var c cli
	k, err := commandLine(&c)
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

func TestCandidates(t *testing.T) {
	node := model(t).Node
	for typed, want := range map[string]string{
		"ser":                                "serve",
		"tenant sus":                         "suspend",
		"serve --log-format ":                "json text",
		"serve --log-format=json --dev-n":    "--dev-names",
		"serve --listen 127.0.0.1:1 --plc-l": "--plc-listen",
		"completion ":                        "bash fish zsh",
		"no such command":                    "",
	} {
		if got := strings.Join(candidates(node, strings.Split(typed, " ")), " "); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	if got := candidates(node, nil); !slices.Contains(got, "serve") || slices.Contains(got, "complete") {
		t.Errorf("nothing typed: %q", got)
	}
}

// The scripts are what their shells can read. Bash is wherever the tests run.
func TestCompletionInBash(t *testing.T) {
	script := completionScripts["bash"] + `
locus() { shift 2; [ "$1 $2" = "tenant sus" ] && echo suspend; }
COMP_WORDS=(locus tenant sus); COMP_CWORD=2; _locus; echo "${COMPREPLY[@]}"`
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	if err != nil || string(out) != "suspend\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// Every command that --help shows is in the manual, and no line of text is taken for a request of groff's.
func TestManual(t *testing.T) {
	app := model(t)
	text := manual(app)
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, c := range n.Children {
			if c.Hidden {
				continue
			}
			if c.Leaf() && !strings.Contains(text, ".SS "+roff("locus "+c.Path())+"\n") {
				t.Errorf("%s is not there", c.Path())
			}
			walk(c)
		}
	}
	walk(app.Node)
	requests := []string{".TH ", ".SH ", ".SS ", ".TP", ".B ", ".I "}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ".") && !slices.ContainsFunc(requests, func(r string) bool { return strings.HasPrefix(line, r) }) || strings.HasPrefix(line, "'") {
			t.Errorf("groff takes this as a request: %s", line)
		}
	}
}
