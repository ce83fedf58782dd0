package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestLostOutput: a command whose output cannot be written, as to a file on a disk that is full, does not end as if all
// were well. Some of what it prints is shown once.
func TestLostOutput(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, _ := on(t, url, dir, "LOCUS_DEV_NAMES=1")
	ok("init", "--development")
	ok("tenant", "create", "pds.test", "signup=open")
	ok("account", "create", "pds.test", "alice.pds.test", "--email", "alice@example.com", "--password", "a-long-password")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	for _, line := range []string{
		"version", "config example", "config show", "config check", "completion bash", "man", "tenant keys", "tenant list", "account list pds.test",
		"account list pds.test --json", "token create owner --label lost", "invite create pds.test", "repo check pds.test", "migrate", "migrate --status",
		"account info pds.test alice.pds.test", "audit deployment", "key status",
	} {
		cmd := locus(t, strings.Fields(line)...)
		cmd.Env = append(cmd.Env, "LOCUS_CONFIG="+os.DevNull, "LOCUS_DATABASE_URL="+url, "LOCUS_DATA_DIR="+dir, "LOCUS_DEV_NAMES=1")
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &errs
		if err := cmd.Run(); err == nil || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("locus %s: %v\n%s", line, err, errs.String())
		}
	}
}
