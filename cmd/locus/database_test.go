package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMasterKey: a process with another master key than the database's ends before it does anything, and a database
// with tenants never gets a second one because a file is missing.
func TestMasterKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if out, errs, err := run(t, "tenant", "create", "pds.example.com", "--data-dir", dir, "--database-url", "private"); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	other := strings.Repeat("ab", 32)
	refused := func(want string, args ...string) {
		t.Helper()
		out, errs, err := run(t, append(args, "--data-dir", dir)...)
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("locus %s: %v, want %q\n%s%s", strings.Join(args, " "), err, want, out, errs)
		}
		if strings.Contains(out+errs, other) {
			t.Errorf("locus %s shows the key", args[0])
		}
	}
	const sealed = "sealed under another master key"
	refused(sealed, "serve", "--listen", "127.0.0.1:"+freePort(t), "--master-key", other)
	refused(sealed, "tenant", "create", "two.example.com", "--master-key", other)
	refused(sealed, "account", "list", "pds.example.com", "--master-key", other)
	refused(sealed, "repo", "check", "pds.example.com", "--master-key", other)
	file := filepath.Join(dir, "master.key")
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	refused("--master-key", "tenant", "list")
	refused("--master-key", "serve", "--listen", "127.0.0.1:"+freePort(t))
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a new key was made: %v", err)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := run(t, "tenant", "list", "--data-dir", dir); err != nil || strings.Contains(out, "two.example.com") {
		t.Errorf("with the key again: %v\n%s%s", err, out, errs)
	}
}

// TestMistakes: what is printed about a mistake is short, and not where the output of a command is taken from. A folder
// named by mistake stays as it was.
func TestMistakes(t *testing.T) {
	for _, args := range [][]string{
		{"operator", "token", "pds.example.com"},
		{"operator", "add", "pds.example.com", "carol", "--role", "god"},
		{"serv"},
		{"audit", "list", "pds.example.com", "--since", "2d"},
	} {
		out, errs, err := run(t, args...)
		if err == nil || out != "" || !strings.Contains(errs, "error") || !strings.Contains(errs, "--help") || strings.Count(errs, "\n") > 8 {
			t.Errorf("locus %s: %v\nstdout: %s\nstderr: %s", strings.Join(args, " "), err, out, errs)
		}
	}
	dir := filepath.Join(t.TempDir(), "nothing")
	for _, args := range [][]string{{"tenant", "list"}, {"account", "list", "pds.example.com"}, {"repo", "check", "pds.example.com"}, {"migrate"}} {
		if out, errs, err := run(t, append(args, "--data-dir", dir)...); err == nil || !strings.Contains(errs, dir) {
			t.Errorf("locus %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
}
