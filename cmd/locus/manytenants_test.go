package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// Commands that look at one tenant look at all with --all, one after the other. One that has trouble is told of while the
// others follow, and the exit status says so.
func TestAllTenants(t *testing.T) {
	url, dir := dbtest.URL(t), filepath.Join(t.TempDir(), "data")
	env := []string{"LOCUS_DATABASE_URL=" + url, "LOCUS_MASTER_KEY=" + strings.Repeat("cd", 32)}
	s := serveAs(t, dir, func(c *exec.Cmd) { c.Env = append(c.Env, env...) })
	defer s.stop()
	all := func(command string, more ...string) (out, errs string, err error) {
		t.Helper()
		return runWith(t, env, append(append(strings.Fields(command), more...), "--data-dir", dir)...)
	}
	out, _, err := all("tenant list --json")
	var tenants []struct{ Hostname, Schema string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &tenants)
	}
	if err != nil || len(tenants) != 2 {
		t.Fatal(err, out)
	}
	schemas := map[string]string{}
	for _, one := range tenants {
		schemas[one.Hostname] = one.Schema
	}
	if out, errs, err := all("tenant set localhost signup=closed"); err != nil {
		t.Fatal(err, out, errs)
	}
	s.signInAndPost("localhost", "alice.test")

	for _, command := range []string{"blob usage", "blob verify", "repo check", "audit list"} {
		out, errs, err := all(command, "--all", "--pause", "0s", "--json")
		if err != nil || !strings.Contains(errs, "2 tenants, 0 with trouble, 0 passed over") {
			t.Errorf("%s: %v\n%s%s", command, err, out, errs)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(out) {
			var one struct{ Hostname string }
			if err := json.Unmarshal([]byte(line), &one); err != nil || schemas[one.Hostname] == "" {
				t.Errorf("%s: %v %s", command, err, line)
			}
			seen[one.Hostname] = true
		}
		if want := len(schemas); command != "audit list" && len(seen) != want || len(seen) == 0 { // nobody did anything to the other
			t.Errorf("%s: %s", command, out)
		}
	}
	for _, refused := range [][]string{{"--all", "localhost"}, {}, {"--all", "--pause", "48h"}} {
		if out, errs, err := all("repo check", refused...); err == nil || !strings.Contains(errs, "--all") && !strings.Contains(errs, "--pause") {
			t.Errorf("%v: %v %s%s", refused, err, out, errs)
		}
	}
	for range 2 { // again it jumps again
		out, errs, err := all("tenant jump --all --pause 0s --by 1000 --json")
		if err != nil || strings.Count(out, `"nextSeq":`) != len(schemas) || !strings.Contains(errs, "2 tenants, 0 with trouble") {
			t.Errorf("%v\n%s%s", err, out, errs)
		}
	}
	for host := range schemas {
		var one struct{ NextSeq int64 }
		out, errs, err := all("tenant jump --by 1 --json", host)
		if err == nil {
			err = json.Unmarshal([]byte(out), &one)
		}
		if err != nil || one.NextSeq < 2002 {
			t.Errorf("%s: %v %s%s", host, err, out, errs)
		}
	}
	if out, errs, err := all("tenant jump --all --by 0"); err == nil || !strings.Contains(errs, "--by") {
		t.Errorf("%v %s%s", err, out, errs)
	}
	s.signInAndPost("beta.localhost", "alice.beta.test")
	if out, errs, err := all("repo check --all --recount"); err != nil || out != "" {
		t.Errorf("nothing is wrong, and there are lines: %v %s%s", err, out, errs)
	}

	for host, schema := range schemas {
		change := "ALTER TABLE " + schema + ".actor RENAME TO actor_away"
		if host == "localhost" {
			change = "DELETE FROM " + schema + ".record"
		}
		sql(t, url, change)
	}
	out, errs, err := all("repo check --all")
	if err == nil || strings.Count(out, "PROBLEMS  localhost: 1 of ") != 1 || strings.Count(out, "TROUBLE ") != 1 || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "2 tenants, 2 with trouble") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	sql(t, url, "ALTER TABLE "+schemas["localhost"]+".stream_head RENAME TO stream_head_away")
	out, errs, err = all("tenant jump --all")
	if err == nil || strings.Count(out, "TROUBLE   localhost: ") != 1 || strings.Count(out, "the next event of ") != 1 || !strings.Contains(errs, "2 tenants, 1 with trouble") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	sql(t, url, "ALTER TABLE "+schemas["localhost"]+".stream_head_away RENAME TO stream_head")
	if out, _, err = all("repo check --all --json"); err == nil || !strings.Contains(out, `"withProblems":1`) || !strings.Contains(out, `"error":"`) {
		t.Errorf("%v\n%s", err, out)
	}
}
