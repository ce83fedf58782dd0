package identity

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a file of the shared fixtures beside a parent of this folder, or ""
// in a clone that has none.
func fixture(parts ...string) string {
	dir, _ := os.Getwd()
	for ; ; dir = filepath.Dir(dir) {
		p := filepath.Join(append([]string{dir, "shared", "fixtures"}, parts...)...)
		if _, err := os.Stat(p); err == nil {
			return p
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// fixtureLines reads a syntax list: a string a line, # for comments.
func fixtureLines(t *testing.T, name string) (lines []string) {
	t.Helper()
	p := fixture("syntax", name)
	if p == "" {
		return nil
	}
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := s.Text(); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
