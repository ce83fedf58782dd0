package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// noJSON are the commands that print what is no answer of theirs to be read: a file, a text for people, or nothing.
var noJSON = map[string]string{
	"serve":          "runs",
	"openapi":        "prints a document",
	"config example": "prints a file",
	"completion":     "prints a script for a shell",
	"complete":       "is called by that script",
	"man":            "prints a page",
}

// TestUniform walks all commands: each has --json, says what it does, and shows its own flags before those of the
// deployment. Long work has --background, and under no other name.
func TestUniform(t *testing.T) {
	seen := 0
	commands(t, func(name string, n *kong.Node) {
		seen++
		flags := map[string]*kong.Flag{}
		for _, level := range n.AllFlags(false) {
			for _, f := range level {
				flags[f.Name] = f
			}
		}
		if _, without := noJSON[name]; flags["json"] == nil && !without {
			t.Errorf("locus %s has no --json", name)
		} else if flags["json"] != nil && without {
			t.Errorf("locus %s has --json and stands in the list of those that do not", name)
		}
		if n.Help == "" {
			t.Errorf("locus %s does not say what it does", name)
		}
		if flags["detach"] != nil {
			t.Errorf("locus %s calls --background by its former name", name)
		}
		for _, f := range flags {
			if shared := f.Group != nil; shared != (f.Name == "database-url" || f.Name == "log-level") && (f.Name == "database-url" || f.Name == "log-level" || f.Name == "json") {
				t.Errorf("locus %s --%s: is it the deployment's? %t", name, f.Name, shared)
			}
			if f.Help == "" {
				t.Errorf("locus %s --%s is not explained", name, f.Name)
			}
		}
	})
	for _, name := range []string{"tenant delete", "account list", "backup drill"} { // the help of all takes long
		own, _, ok := strings.Cut(helpOf(t, name), deploymentGroup.Title)
		if !ok || strings.Contains(own, "--database-url") || !strings.Contains(own, "--json") {
			t.Errorf("locus %s does not show its own flags before the deployment's:\n%s", name, own)
		}
	}
	if seen < 60 {
		t.Errorf("%d commands", seen)
	}
}

// helpOf is the help of a command.
func helpOf(t *testing.T, name string) string {
	t.Helper()
	var c cli
	k, err := commandLine(&c)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	k.Stdout, k.Stderr = &out, io.Discard
	k.Exit = func(int) { panic(errHelp) }
	func() {
		defer func() {
			if v := recover(); v != nil && v != errHelp {
				panic(v)
			}
		}()
		_, _ = k.Parse(append(strings.Fields(name), "--help"))
	}()
	return out.String()
}

const errHelp = "the help is printed"
