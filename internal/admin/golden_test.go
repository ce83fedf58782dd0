package admin

import (
	"flag"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden holds what is generated and committed against what it should be.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s is not what the code gives: run 'make generate' and look at the difference\n%s", path, d)
	}
}

// registered has all operations, and nothing that they could work on.
func registered() *Server { return New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}) }

// TestAccess holds the policy on one page against the registrations.
func TestAccess(t *testing.T) {
	golden(t, "testdata/access.txt", []byte(registered().Access()))
}

// TestDocument holds the committed document against the registrations.
func TestDocument(t *testing.T) {
	b, err := registered().YAML()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../openapi/operator.yaml", b)
}
