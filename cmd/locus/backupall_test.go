package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/blob/blobtest"
)

// TestBackupsByTimer: what the timer's unit runs backs up every tenant into a bucket, each for as long as the settings say. A
// tenant that has trouble is told of, and the others are backed up.
func TestBackupsByTimer(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/locus-backup.service")
	if err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/locus (.*)$`).FindSubmatch(unit)
	if start == nil {
		t.Fatal("the unit starts nothing")
	}
	endpoint, stop, err := blobtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	bucket, err := blobtest.Bucket(t.Context(), endpoint, "backups")
	if err != nil {
		t.Fatal(err)
	}
	const identity, recipient = "AGE-SECRET-KEY-1M3UKX0UQJQTR2SCCF5FPYDE2URZC8QKJ07L327RGL3F7A875NU5QJQMMWC", "age1rxxxt5yejyvxu9ztsd70zuctuhjj4yflt637g5h90cmcnuj9aahqev5s86"
	url, dir := dbtest.URL(t), filepath.Join(t.TempDir(), "data")
	key := filepath.Join(t.TempDir(), "backup.key")
	if err := os.WriteFile(key, []byte(identity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"LOCUS_DATABASE_URL=" + url, "LOCUS_MASTER_KEY=" + strings.Repeat("cd", 32), "LOCUS_BACKUP_STORE=" + bucket, "LOCUS_BACKUP_RECIPIENTS=" + recipient,
		"LOCUS_BACKUP_KEEP=30d", "LOCUS_BACKUP_S3_ACCESS_KEY=" + blobtest.AccessKey, "LOCUS_BACKUP_S3_SECRET_KEY=" + blobtest.SecretKey}
	s := serveAs(t, dir, func(c *exec.Cmd) { c.Env = append(c.Env, env...) })
	defer s.stop()
	with := func(env []string, command string) (out, errs string, err error) {
		t.Helper()
		return runWith(t, env, append(strings.Fields(command), "--data-dir", dir)...)
	}
	type backup struct {
		Name, Hostname string
		Encrypted      bool
		MadeAt         time.Time
		KeepUntil      time.Time
	}
	list := func() (all []backup) {
		t.Helper()
		out, errs, err := with(env, "backup list --json")
		if err == nil {
			err = json.Unmarshal([]byte(out), &all)
		}
		if err != nil {
			t.Fatalf("%v\n%s%s", err, out, errs)
		}
		return all
	}

	out, errs, err := with(env, string(start[1]))
	if err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "2 tenants, 0 with trouble") {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	first := list()
	hosts := map[string]bool{}
	for _, b := range first {
		hosts[b.Hostname] = true
		if kept := b.KeepUntil.Sub(b.MadeAt); !b.Encrypted || kept < 29*24*time.Hour || kept > 31*24*time.Hour {
			t.Errorf("%+v", b)
		}
		if out, errs, err := with(env, "backup drill store:"+b.Name+" --identity "+key); err != nil {
			t.Errorf("%s: %v\n%s%s", b.Hostname, err, out, errs)
		}
	}
	if len(first) != 2 || len(hosts) != 2 {
		t.Errorf("%+v", first)
	}

	// By servers, one line of JSON for each.
	out, errs, err = with(env, string(start[1])+" --background --json")
	if err != nil || strings.Count(out, "\n") != 2 || strings.Count(out, `"state":"waiting"`) != 2 {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	for end := time.Now().Add(30 * time.Second); len(list()) < 4; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no server did it")
		}
	}

	var tenants []struct{ Hostname, Schema string }
	if out, _, err = with(env, "tenant list --json"); err == nil {
		err = json.Unmarshal([]byte(out), &tenants)
	}
	if err != nil || len(tenants) != 2 {
		t.Fatal(err, out)
	}
	sql(t, url, "ALTER TABLE "+tenants[0].Schema+".stream_head RENAME TO stream_head_away")
	out, errs, err = with(env, string(start[1]))
	if err == nil || strings.Count(out, "TROUBLE ") != 1 || !strings.Contains(out, "TROUBLE   "+tenants[0].Hostname) || !strings.Contains(errs, "2 tenants, 1 with trouble") || len(list()) != 5 {
		t.Errorf("%v\n%s%s", err, out, errs)
	}

	wrong := append(append([]string{}, env...), "LOCUS_BACKUP_S3_SECRET_KEY=another")
	if out, errs, err = with(wrong, string(start[1])); err == nil || strings.Contains(out+errs, blobtest.SecretKey) || len(list()) != 5 {
		t.Errorf("with a wrong key: %v\n%s%s", err, out, errs)
	}
	for _, refused := range []string{"tenant backup --all", "tenant backup --store", "tenant backup localhost --all --store"} {
		if out, errs, err := with(env, refused); err == nil || !strings.Contains(errs, "--all") {
			t.Errorf("%s: %v\n%s%s", refused, err, out, errs)
		}
	}
}
