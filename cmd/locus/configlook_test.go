package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestConfigCheckIsTheStart: what a start refuses because of its settings, the check refuses before it, for the same reason.
func TestConfigCheckIsTheStart(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, _ := on(t, url, dir)
	ok("init")
	nobody := filepath.Join(dir, "no.pem")
	for _, test := range []struct {
		want string // in both messages
		env  []string
	}{
		{"missing port in address", []string{"LOCUS_LISTEN=nonsense"}},
		{"port", []string{"LOCUS_LISTEN=127.0.0.1:99999"}},
		{"missing port in address", []string{"LOCUS_ADMIN_LISTEN=nonsense"}},
		{"database URL", []string{"LOCUS_DATABASE_URL=mysql://db.example.com/locus"}},
		{"no database is named", []string{"LOCUS_DATABASE_URL=", "LOCUS_DATA_DIR=" + t.TempDir()}},
		{"hex digits", []string{"LOCUS_MASTER_KEY=1234"}},
		{"is none of data:", []string{"LOCUS_BLOB_STORE=nowhere"}},
		{"key", []string{"LOCUS_BLOB_STORE=s3://files?endpoint=https://s3.example.com"}},
		{"smtp", []string{"LOCUS_SMTP_URL=http://mail.example.com"}},
		{"LOCUS_APP_VIEW", []string{"LOCUS_APP_VIEW=nobody"}},
		{"LOCUS_PRIVATE_HOSTS", []string{"LOCUS_PRIVATE_HOSTS=a b c"}},
		{"no.pem", []string{"LOCUS_HTTPS_LISTEN=127.0.0.1:0", "LOCUS_TLS_CERT=" + nobody, "LOCUS_TLS_KEY=" + nobody}},
	} {
		env := append([]string{"LOCUS_CONFIG=" + os.DevNull, "LOCUS_DATABASE_URL=" + url, "LOCUS_DATA_DIR=" + dir}, test.env...)
		for _, args := range [][]string{{"config", "check"}, {"serve"}} {
			if args[0] == "serve" && !strings.HasPrefix(test.env[0], "LOCUS_LISTEN=") {
				args = append(args, "--listen", "127.0.0.1:0")
			}
			out, errs, err := runWith(t, env, args...)
			if err == nil || !strings.Contains(errs, test.want) || strings.Contains(out, "good to start") {
				t.Errorf("%v: %v: %v, want %q\n%s%s", test.env, args, err, test.want, out, errs)
			}
		}
	}
	right := []string{"LOCUS_CONFIG=" + os.DevNull, "LOCUS_DATABASE_URL=" + url, "LOCUS_DATA_DIR=" + dir}
	if out, errs, err := runWith(t, right, "config", "check"); err != nil || !strings.Contains(out, "good to start with") {
		t.Error(out, errs, err)
	}
	// All of them at once.
	_, errs, _ := runWith(t, append(right, "LOCUS_LISTEN=nonsense", "LOCUS_SMTP_URL=http://x"), "config", "check")
	if !strings.Contains(errs, "LOCUS_LISTEN") || !strings.Contains(errs, "smtp") {
		t.Error(errs)
	}
}

// TestConfigCheckWarns: of secrets that everybody can read, wherever they lie, and of settings that are misspelt.
func TestConfigCheckWarns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	url := write("url", "postgres://a:hidden@db.example.com/locus\n", 0o644)
	plain := write("plain", "postgres:///locus?host=/run/postgresql\n", 0o644) // no secret is in it
	key := write("key", strings.Repeat("ab", 32)+"\n", 0o600)
	warnings := func(config string, env ...string) string {
		t.Helper()
		path := write("locus.yaml", config, 0o600)
		out, errs, err := runWith(t, append(env, "LOCUS_CONFIG="+path), "config", "check", "--json")
		var v verdict
		if json.Unmarshal([]byte(out), &v) != nil || err != nil {
			t.Fatalf("%v\n%s%s", err, out, errs)
		}
		return strings.Join(v.Warnings, "\n")
	}
	if said := warnings("database-url-file: url\n"); !strings.Contains(said, url+" holds a secret (database-url)") || strings.Contains(said, "hidden") {
		t.Errorf("a file that the configuration names: %q", said)
	}
	if said := warnings("", "LOCUS_DATABASE_URL_FILE="+url); !strings.Contains(said, url) {
		t.Errorf("a file that the environment names: %q", said)
	}
	if said := warnings("", "LOCUS_DATABASE_URL_FILE="+plain, "LOCUS_MASTER_KEY_FILE="+key, "LOCUS_SERVICE_HOST=10.0.0.1", "LOCUS_PORT=tcp://10.0.0.1:2583", "LOCUS_PORT_2583_TCP_ADDR=10.0.0.1"); said != "" {
		t.Errorf("nothing is wrong: %q", said)
	}
	if said := warnings("database-url-file: plain\n", "LOCUS_DATABASE_WIAT=1s", "LOCUS_FROBNICATE=1"); !strings.Contains(said, "LOCUS_DATABASE_WIAT in the environment is no setting, and is not looked at (is LOCUS_DATABASE_WAIT meant?)") || !strings.Contains(said, "LOCUS_FROBNICATE") {
		t.Errorf("misspelt: %q", said)
	}
}

// TestVersion: the version is asked for in each of the usual ways.
func TestVersion(t *testing.T) {
	word, _, err := run(t, "version")
	if err != nil || !strings.HasPrefix(word, "locus ") {
		t.Error(word, err)
	}
	if flag, _, err := run(t, "--version"); err != nil || flag != word {
		t.Error(flag, err)
	}
	out, _, err := run(t, "version", "--json")
	var v struct{ Version, Go, Platform string }
	if json.Unmarshal([]byte(out), &v) != nil || err != nil || "locus "+v.Version+"\n" != word || v.Go == "" || v.Platform == "" {
		t.Error(out, err)
	}
}
