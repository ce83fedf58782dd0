package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

var builtInPLC = regexp.MustCompile(`(http://\S+)\s+the built-in PLC directory`)

// TestREADME runs what the README tells a newcomer to type: the first part beside a development server, in its folder,
// the second on an empty database.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	first, rest, found := strings.Cut(string(text), "\n## Running it for others\n")
	second, _, end := strings.Cut(rest, "\n## Documentation\n")
	if !found || !end {
		t.Fatal("the README has other headings: this test must follow")
	}
	var plc []string
	if n := runSnippets(t, first, "", func(dir string) (env []string, port string) {
		s := serveAs(t, filepath.Join(dir, "data"), func(*exec.Cmd) {})
		t.Cleanup(s.stop)
		if plc = builtInPLC.FindStringSubmatch(s.greeting); plc == nil {
			t.Fatalf("no PLC directory in the greeting:\n%s", s.greeting)
		}
		return nil, s.port
	}); n < 4 {
		t.Errorf("only %d commands beside the development server", n)
	}
	if n := runSnippets(t, second, "a-good-password\n", func(string) ([]string, string) {
		return []string{"LOCUS_DATABASE_URL=" + dbtest.EmptyURL(t), "LOCUS_PLC_URL=" + plc[1]}, "2583"
	}); n < 7 {
		t.Errorf("only %d commands on a database", n)
	}
}

// runSnippets runs the commands of the indented blocks in a folder that has bin/locus, and counts them.
func runSnippets(t *testing.T, text, input string, prepare func(dir string) (env []string, port string)) (n int) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	like := locus(t)
	if err := os.Symlink(like.Path, filepath.Join(bin, "locus")); err != nil {
		t.Fatal(err)
	}
	env, port := prepare(dir)
	text = strings.ReplaceAll(text, "\\\n", "") // a command on two lines
	for line := range strings.Lines(text) {
		command, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		switch {
		case !indented, strings.HasPrefix(command, "make "), strings.HasPrefix(command, "locus serve "):
			continue // they have tests of their own
		}
		command = strings.ReplaceAll(command, "localhost:2583", "localhost:"+port)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(append(like.Env, "PATH="+bin+":"+os.Getenv("PATH")), env...)
		cmd.Stdin = strings.NewReader(input)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil || strings.Contains(out.String(), `"error"`) {
			t.Errorf("%s: %v\n%s", command, err, out.String())
		}
		n++
	}
	return n
}
