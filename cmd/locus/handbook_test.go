package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// A block of commands in the handbook is fenced as sh and runs. What is for a Debian system or for the source says so, and
// runs there; what CI runs beside the tests names the script that has it, word by word. What cannot run says why:
//
//	```sh debian
//	```sh source
//	```sh in .ci/check
//	```sh not-run: needs a Kubernetes cluster
const (
	onDebian = "sh debian"
	inSource = "sh source"
	inScript = "sh in "
	notRun   = "not-run: "
)

// block is a fenced piece of a page.
type block struct {
	page string // tls.md
	line int
	info string // behind the fence
	text string
}

// blocks gives the fenced pieces of a page.
func blocks(page, text string) (all []block) {
	var open *block
	n := 0
	for line := range strings.Lines(text) {
		n++
		info, fence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case fence && open == nil:
			open = &block{page: page, line: n + 1, info: info}
		case fence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line
		}
	}
	return all
}

// handbookPages are the pages in the order in which the first of them lists them.
func handbookPages(t *testing.T) (names []string, texts map[string]string) {
	t.Helper()
	texts = map[string]string{}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(f)] = string(text)
	}
	for _, m := range regexp.MustCompile(`\]\(([a-z-]+\.md)\) \|`).FindAllStringSubmatch(texts["README.md"], -1) {
		if texts[m[1]] == "" || slices.Contains(names, m[1]) {
			t.Errorf("docs/README.md lists %s, which is not there or is listed twice", m[1])
		}
		names = append(names, m[1])
	}
	for page := range texts {
		if page != "README.md" && !slices.Contains(names, page) {
			t.Errorf("docs/README.md does not list %s", page)
		}
	}
	return names, texts
}

var (
	inlineCommand = regexp.MustCompile("`(?:sudo -u locus )?locus ([a-z][^`]*)`")
	blockCommand  = regexp.MustCompile(`(?:^|sudo -u locus |\$\(|[|;&] )locus ([a-z][^|)&]*)`)
	madeOrRun     = regexp.MustCompile("(?m)(?:(?:^|`|&& )make ([a-z][a-z-]*)(?:`|$| +(?:ARGS|#|&&))|go (?:run|test) [^`\n]*?(\\./[a-z][a-z/]*))")
	leftOut       = regexp.MustCompile(`#.*|[][]`)
)

// TestHandbookNames: what the handbook calls a command or a flag is one, also where it only speaks of it, and where the
// test below does not run it.
func TestHandbookNames(t *testing.T) {
	t.Parallel()
	names, texts := handbookPages(t)
	known := map[string][]string{"": nil} // a command, and its flags
	commands(t, func(name string, n *kong.Node) {
		for _, level := range n.AllFlags(false) {
			for _, f := range level {
				known[name] = append(known[name], "--"+f.Name)
			}
		}
		for i := range name {
			if name[i] == ' ' && known[name[:i]] == nil {
				known[name[:i]] = []string{} // a group
			}
		}
	})
	seen, untried := 0, 0
	look := func(where, command string) {
		seen++
		words := strings.Fields(strings.ReplaceAll(leftOut.ReplaceAllString(command, " "), `\|`, "|"))
		name := ""
		for _, w := range words {
			w, _, _ = strings.Cut(w, "|")
			next := strings.TrimPrefix(name+" "+w, " ")
			if _, ok := known[next]; !ok {
				break
			}
			name = next
		}
		flags, found := known[name]
		if name == "" || !found {
			t.Errorf("%s: there is no command 'locus %s'", where, command)
		}
		for _, w := range words {
			w, _, _ = strings.Cut(strings.TrimRight(w, "…,.)\"'"), "=")
			if strings.HasPrefix(w, "--") && len(flags) > 0 && !slices.Contains(flags, w) && w != "--help" && w != "--" {
				t.Errorf("%s: locus %s has no %s", where, name, w)
			}
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(names, "README.md") {
		for _, m := range madeOrRun.FindAllStringSubmatch(texts[page], -1) {
			if target := m[1]; target != "" && !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("%s: make has no %s", page, target)
			}
			if dir := m[2]; dir != "" {
				if _, err := os.Stat(filepath.Join("../..", dir)); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
		}
		for _, m := range inlineCommand.FindAllStringSubmatch(texts[page], -1) {
			look(page, m[1])
		}
		for _, b := range blocks(page, texts[page]) {
			if why, ok := strings.CutPrefix(b.info, "sh "+notRun); ok {
				untried++
				if len(why) < 10 {
					t.Errorf("%s:%d does not say why it is not run", page, b.line)
				}
			}
			if b.info == "yaml" { // of a configuration file
				if _, err := parseConfig(allSettings(t), []byte(b.text)); err != nil {
					t.Errorf("%s:%d: %v", page, b.line, err)
				}
			}
			if script, ok := strings.CutPrefix(b.info, inScript); ok {
				text, err := os.ReadFile("../../" + script)
				if err != nil {
					t.Error(err)
				}
				for _, command := range commandLines(b.text) {
					if !strings.Contains(string(text), "\n  "+command+"\n") && !strings.Contains(string(text), "\n"+command+"\n") {
						t.Errorf("%s:%d: %s does not have %s", page, b.line, script, command)
					}
				}
			} else if why, ok := strings.CutPrefix(b.info, "sh "); ok && b.info != onDebian && b.info != inSource && !strings.HasPrefix(why, notRun) {
				t.Errorf("%s:%d: nobody runs what is fenced as %s", page, b.line, b.info)
			}
			for _, command := range commandLines(b.text) {
				m := blockCommand.FindStringSubmatch(command)
				switch where := fmt.Sprintf("%s:%d", page, b.line); {
				case m == nil:
				case strings.HasPrefix(b.info, "sh"):
					look(where, m[1])
				case b.info == "":
					t.Errorf("%s: fence it as sh: then a test runs it", where)
				}
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^    (sudo |bin/locus |locus [a-z]).*$`).FindAllString(texts[page], -1) {
			t.Errorf("%s: fence this as sh: then a test runs it: %s", page, m)
		}
	}
	t.Logf("%d commands named; %d blocks are not run", seen, untried)
	if seen < 150 || untried > 6 {
		t.Errorf("%d commands, and %d blocks that nobody runs", seen, untried)
	}
}

// commandLines are the commands of a block, those over several lines as one.
func commandLines(text string) (all []string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}

// TestRooms: the map of the house names each room, and none that is gone.
func TestRooms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## The rooms\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, pattern := range []string{"cmd/*", "internal/*"} {
		rooms, _ := filepath.Glob("../../" + pattern)
		for _, room := range rooms {
			if room, _ = filepath.Rel("../..", room); !strings.Contains(table, "`"+room+"`") {
				t.Errorf("ARCHITECTURE.md does not name %s", room)
			}
		}
	}
	for _, m := range regexp.MustCompile("`((?:cmd|internal|repo)/[a-z/]+)`").FindAllStringSubmatch(table, -1) {
		if _, err := os.Stat("../../" + m[1]); err != nil {
			t.Errorf("ARCHITECTURE.md: %v", err)
		}
	}
}
