// Package oracle asks the reference implementation, for tests: @atproto/syntax and @atproto/lexicon from npm, run by
// Node. `npm ci` in this folder installs them; CI does (.ci/check). Where they are not installed a test says in one line
// what it left out.
package oracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Ask puts questions, each as oracle.mjs describes it, and gives the answers in their order; nil where the packages are
// not installed. With LOCUS_ORACLE=1, as in CI, that is an error.
func Ask(t testing.TB, questions ...any) []json.RawMessage {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Dir(here)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@atproto", "lexicon")); err != nil {
		if os.Getenv("LOCUS_ORACLE") != "" {
			t.Fatalf("the reference's packages are not installed: %v", err)
		}
		t.Log("left out: the reference's own checks; npm ci in internal/syntax/oracle installs them")
		return nil
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in) // it escapes U+2028, which would end a line
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "oracle.mjs"))
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%.2000s", err, stderr.Bytes())
	}
	var answers []json.RawMessage
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		answers = append(answers, json.RawMessage(bytes.Clone(s.Bytes())))
	}
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions\n%.2000s", len(answers), len(questions), stderr.Bytes())
	}
	return answers
}
