package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
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

// TestDoctorSaysWhatItDidNotLookAt: a check that could not look is not called well, in text and in JSON.
func TestDoctorSaysWhatItDidNotLookAt(t *testing.T) {
	results := doctor.Examine(t.Context(), doctor.DeploymentChecks(doctor.Deployment{
		Now: time.Now, HTTP: http.DefaultClient, Relays: []string{"http://127.0.0.1:1"},
		Facts: func(context.Context) (db.Facts, error) { return db.Facts{}, errors.New("away") },
		Keys:  func(context.Context) error { return nil }, Behind: func(context.Context) (int64, error) { return 0, nil },
	}), time.Minute, nil)
	text := new(strings.Builder)
	must(t, printDoctor(text, results))
	if !regexp.MustCompile(`(?m)^  clock +not looked at +.*: the relay does not answer: `).MatchString(text.String()) || !regexp.MustCompile(`(?m)^  schemas +well `).MatchString(text.String()) {
		t.Errorf("%s", text)
	}
	said, err := json.Marshal(results)
	if err != nil || strings.Count(string(said), `"notLookedAt":"the relay does not answer`) != 1 {
		t.Errorf("%v %s", err, said)
	}
	text.Reset()
	must(t, printDoctor(text, []doctor.Result{{Group: "deployment", Name: "clock", NotLookedAt: "no time"}}))
	if strings.Contains(text.String(), "nothing is wrong\n") || !strings.Contains(text.String(), "1 checks could not look") {
		t.Errorf("%s", text)
	}
}
