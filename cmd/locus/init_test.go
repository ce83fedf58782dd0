package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestInit: init writes what is true of the deployment, the master key and a token, and run again it changes nothing. A
// server that is told otherwise does not start. What is changed deliberately is in the log.
func TestInit(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "keys", "master.key")
	ok, refused := on(t, url, dir)
	begin := []string{"init", "--public-port", "8443", "--plc-url", "https://plc.example.com", "--new-master-key", file, "--token", "first", "--json"}
	read := func(args ...string) (b begun) {
		t.Helper()
		if err := json.Unmarshal([]byte(ok(args...)), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := read(begin...)
	key, err := os.ReadFile(file)
	if err != nil || !first.New || !first.MasterKey.Made || first.Token == nil || first.Token.Secret == "" || first.Deployment.Port != 8443 {
		t.Fatalf("%+v %v", first, err)
	}
	again := read(begin...)
	if after, err := os.ReadFile(file); err != nil || string(after) != string(key) || again.New || again.MasterKey.Made || again.Token.Made || again.Token.Secret != "" || again.Token.ID != first.Token.ID || again.Deployment != first.Deployment {
		t.Errorf("a second time: %+v %v", again, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "master.key")); !os.IsNotExist(err) {
		t.Errorf("a second key in the data folder: %v", err)
	}
	refused("the database 8443", "init", "--public-port", "0")
	refused("the database 8443", "serve", "--listen", "127.0.0.1:0", "--public-port", "443")
	refused("not a development server's", "init", "--development")
	if out := ok("init", "--new-master-key", file); !strings.Contains(out, "https://HOST:8443") || !strings.Contains(out, "as before") || !strings.Contains(out, "locus tenant create") {
		t.Errorf("for people: %s", out)
	}

	withKey, withKeyRefused := on(t, url, dir, "LOCUS_MASTER_KEY="+string(key))
	withKey("tenant", "create", "pds.example.com")
	if err := os.Link(file, filepath.Join(filepath.Dir(file), "master-key")); err != nil { // as systemd names it
		t.Fatal(err)
	}
	for _, form := range [][]string{
		{"LOCUS_MASTER_KEY=", "LOCUS_MASTER_KEY_FILE=" + file}, {"LOCUS_MASTER_KEY=", "CREDENTIALS_DIRECTORY=" + filepath.Dir(file)},
		{"LOCUS_MASTER_KEY=", "LOCUS_MASTER_KEY_FILE=", "LOCUS_MASTER_KEY_COMMAND=cat " + file},
	} { // what is empty was not given
		withForm, _ := on(t, url, dir, form...)
		withForm("tenant", "set", "pds.example.com", "signup=open")
	}
	_, refusedBoth := on(t, url, dir, "LOCUS_MASTER_KEY=x", "LOCUS_MASTER_KEY_FILE="+file)
	refusedBoth("both LOCUS_MASTER_KEY and LOCUS_MASTER_KEY_FILE are given", "tenant", "list")
	withKeyRefused("leave one of them out", "init", "--new-master-key", file)
	refused("has a master key already", "init", "--new-master-key", file+".other")
	if _, err := os.Stat(file + ".other"); !os.IsNotExist(err) {
		t.Errorf("a key that opens nothing was made: %v", err)
	}
	withKey("deployment", "set", "port=0")
	refused("another master key", "init", "--master-key", strings.Repeat("ab", 32))
	if out := withKey("audit", "deployment", "--action", "deployment set", "--json"); strings.Count(out, "\n") != 2 || !strings.Contains(out, `"before":{"development":false`) || strings.Count(out, `"outcome":"done"`) != 2 {
		t.Errorf("the log: %s", out)
	}
}

// TestForgottenDatabase: who forgets the database's URL gets no empty one.
func TestForgottenDatabase(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"tenant", "create", "pds.example.com"}, {"init"}} {
		if out, errs, err := run(t, append(args, "--data-dir", dir)...); err == nil || !strings.Contains(errs, "--database-url private") || !strings.Contains(errs, dir) {
			t.Errorf("locus %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
}
