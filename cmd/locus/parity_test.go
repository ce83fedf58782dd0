package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// commands calls each for every command that does something, by its whole name.
func commands(t *testing.T, each func(name string, n *kong.Node)) {
	t.Helper()
	k, err := commandLine(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range k.Model.Leaves(true) {
		name := leaf.Name
		for up := leaf.Parent; up != nil && up.Type == kong.CommandNode; up = up.Parent {
			name = up.Name + " " + name
		}
		each(name, leaf)
	}
}

// TestParity holds the table of docs/operator-api.md: what the command line does with a deployment and whole tenants, the
// operator API does too, and no operation is left out of it.
func TestParity(t *testing.T) {
	page, err := os.ReadFile("../../docs/operator-api.md")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := os.ReadFile("../../internal/admin/testdata/access.txt")
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]bool{} // and whether the table has it
	for line := range strings.Lines(string(policy)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] != "#" {
			operations[f[2]] = false
		}
	}
	_, table, ok := strings.Cut(string(page), "## The command line, and this API")
	if !ok {
		t.Fatal("the page has no such table")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	quoted := regexp.MustCompile("`([^`]+)`")
	lines := map[string]bool{}
	for line := range strings.Lines(table) {
		columns := strings.Split(line, "|")
		if len(columns) < 4 || !strings.Contains(columns[1], "`") {
			continue
		}
		lines[quoted.FindStringSubmatch(columns[1])[1]] = true
		for _, m := range quoted.FindAllStringSubmatch(columns[2], -1) {
			if _, known := operations[m[1]]; !known {
				t.Errorf("%q: there is no operation %s", strings.TrimSpace(columns[1]), m[1])
			}
			operations[m[1]] = true
		}
	}
	groups := []string{"tenant", "node", "backup", "job", "token", "key"}
	known := map[string]bool{"tenant list --usage": true, "usage export": true, "audit deployment": true}
	commands(t, func(name string, _ *kong.Node) {
		if group, _, _ := strings.Cut(name, " "); slices.Contains(groups, group) {
			known[name] = true
			if !lines[name] {
				t.Errorf("locus %s has no operation in the table", name)
			}
		}
	})
	for line := range lines {
		if !known[line] {
			t.Errorf("there is no command locus %s", line)
		}
	}
	for id, there := range operations {
		if !there {
			t.Errorf("the table does not have the operation %s", id)
		}
	}
}
