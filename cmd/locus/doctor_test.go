package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"
)

// TestDoctorCode: a database that does not answer is a finding, in the form that scripts read, and exit code 2.
func TestDoctorCode(t *testing.T) {
	cmd := locus(t, "doctor", "--json", "--data-dir", t.TempDir(), "--database-url", "postgres://nobody@127.0.0.1:1/none", "--database-wait", "0s")
	out, err := cmd.Output()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	var said doctorJSON
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	if len(said.Checks) != 1 || len(said.Checks[0].Findings) != 1 || said.Checks[0].Findings[0].Name != "database" || said.Worst != "error" {
		t.Errorf("%s", out)
	}
	_, refused := on(t, "postgres://nobody@127.0.0.1:1/none", t.TempDir())
	refused("--account needs --tenant", "doctor", "--account", "alice.example.com")
}
