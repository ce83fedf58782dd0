package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/tenant"
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

// TestDoctorFacts: a process that serves goes on with the facts that it read, and the doctor names it when they change.
func TestDoctorFacts(t *testing.T) {
	d := dbtest.New(t)
	now := time.Now()
	was := tenant.Deployment{Scheme: "https", PLCURL: publicPLC}
	x := checkup{db: d, facts: was}
	look := func(want ...string) {
		t.Helper()
		checks := slices.DeleteFunc(doctor.DeploymentChecks(x.deployment(nil)), func(c doctor.Check) bool { return c.Name != "facts" })
		results := doctor.Examine(t.Context(), checks, time.Minute, nil)
		var got []string
		for _, f := range results[0].Findings {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q: %+v", got, want, results)
		}
	}
	look("facts-none")
	must(t, tenant.SetDeployment(t.Context(), d, was, now))
	look()
	said, err := json.Marshal((&serving{db: d, facts: was}).nodeFacts(new(serveCmd)))
	must(t, err)
	_, err = d.Control().UpsertProcess(t.Context(), controldb.UpsertProcessParams{ProcessID: 7, Address: "a", StartedAt: now.UTC(), SeenAt: now.UTC()})
	must(t, err)
	must(t, d.Control().UpsertDoctorNode(t.Context(), controldb.UpsertDoctorNodeParams{ProcessID: 7, Address: "a", LookedAt: now.UTC(), Facts: said, Results: []byte("[]")}))
	look()
	is := was
	is.Port = 8443
	must(t, tenant.SetDeployment(t.Context(), d, is, now))
	look("facts-node")
	x.said = originFlags{PublicScheme: "http"}.agree(is)
	look("facts-flags", "facts-node")
}
