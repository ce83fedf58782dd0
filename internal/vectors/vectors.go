// Package vectors finds the interoperability vectors of the protocol for tests. They belong to other projects and are
// not in this repository: tests read them from the folder shared/fixtures beside the checkout, or from the folder that
// LOCUS_TEST_VECTORS names.
//
// In a plain clone there may be none. A test then says in one line what it left out, and what it checks beside them is
// our own. In CI, where the variable CI is set, a missing file fails the test, so that none is lost unseen.
package vectors

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Path is where a file or folder of the vectors is, or "" in a clone that has none.
func Path(t testing.TB, parts ...string) string {
	t.Helper()
	name := filepath.Join(parts...)
	for _, base := range bases(t) {
		path := filepath.Join(base, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("the interop vectors %s are missing: put them into shared/fixtures beside the checkout, or name their folder in LOCUS_TEST_VECTORS", name)
	}
	t.Logf("left out: the interop vectors %s are not here", name)
	return ""
}

// Files are the files that the last part, a pattern, matches; none in a clone without vectors.
func Files(t testing.TB, parts ...string) []string {
	t.Helper()
	dir := Path(t, parts[:len(parts)-1]...)
	if dir == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(dir, parts[len(parts)-1]))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no file in %s is called %s", dir, parts[len(parts)-1])
	}
	return files
}

// JSON reads a file of vectors into v. It is false in a clone without vectors, and leaves v alone.
func JSON(t testing.TB, v any, parts ...string) bool {
	t.Helper()
	path := Path(t, parts...)
	if path == "" {
		return false
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return true
}

// Lines reads a list, one vector a line. Empty lines and lines that begin with # are none.
func Lines(t testing.TB, parts ...string) (lines []string) {
	t.Helper()
	path := Path(t, parts...)
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if line := s.Text(); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return lines
}

// bases are the folders that may hold the vectors, nearest first.
func bases(t testing.TB) (dirs []string) {
	t.Helper()
	if named := os.Getenv("LOCUS_TEST_VECTORS"); named != "" {
		return []string{named}
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		dirs = append(dirs, filepath.Join(dir, "shared", "fixtures"))
	}
	return dirs
}
