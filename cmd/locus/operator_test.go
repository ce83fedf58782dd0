package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// commandsIn runs commands on the data of a folder: ok those that must succeed, refused those whose complaint holds want.
func commandsIn(t *testing.T, dir string) (ok func(args ...string) string, refused func(want string, args ...string)) {
	ok = func(args ...string) string {
		t.Helper()
		out, errs, err := run(t, append(args, "--data-dir", dir)...)
		if err != nil {
			t.Fatalf("locus %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
		}
		return out
	}
	refused = func(want string, args ...string) {
		t.Helper()
		out, errs, err := run(t, append(args, "--data-dir", dir)...)
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("locus %s: %v, want %q\n%s%s", strings.Join(args, " "), err, want, out, errs)
		}
	}
	return ok, refused
}

// Operators by the command line alone: named, given tokens and other roles, and removed; and what the log then says.
func TestOperatorCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const host = "pds.example.com"
	ok, refused := commandsIn(t, dir)
	s := serve(t, dir) // so that not each command starts a Postgres
	defer s.stop()
	ok("tenant", "create", host, "--handle-domain", "example.com")
	token := ok("operator", "add", host, "carol", "--role", "moderator", "--label", "laptop", "--life", "720h")
	if !strings.HasPrefix(token, "locusop_") || len(strings.Fields(token)) != 1 {
		t.Errorf("add printed %q", token)
	}
	refused("there is an operator of this name", "operator", "add", host, "carol", "--role", "owner")
	refused("is not admin", "operator", "add", host, "admin", "--role", "owner")
	refused("--role", "operator", "add", host, "dave", "--role", "king")
	between := time.Now()
	if again := ok("operator", "token", host, "carol"); again == token || !strings.HasPrefix(again, "locusop_") {
		t.Errorf("token printed %q", again)
	}
	refused("no such operator", "operator", "token", host, "dave")
	ok("operator", "role", host, "carol", "support")
	lines := strings.Split(strings.TrimSpace(ok("operator", "list", host)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "carol") || !strings.Contains(lines[0], "support") || !strings.Contains(lines[0], "2 tokens") ||
		!strings.Contains(lines[1], "laptop") || !strings.Contains(lines[1], time.Now().Add(720*time.Hour).UTC().Format(time.DateOnly)) || !strings.Contains(lines[2], "until revoked") {
		t.Errorf("list: %q", lines)
	}
	ok("operator", "revoke", host, strings.Fields(lines[1])[0])
	if left := ok("operator", "list", host); strings.Contains(left, "laptop") || !strings.Contains(left, "1 tokens") {
		t.Errorf("list: %s", left)
	}
	refused("no such operator", "operator", "revoke", host, strings.Fields(lines[1])[0])
	ok("operator", "remove", host, "carol")
	refused("no such operator", "operator", "remove", host, "carol")
	if left := ok("operator", "list", host); left != "" {
		t.Errorf("list: %s", left)
	}
	log := func(filter ...string) (out []string) {
		t.Helper()
		text := ok(append([]string{"audit", "list", host, "--json"}, filter...)...)
		if strings.Contains(text, "locusop_") {
			t.Errorf("the log holds a token: %s", text)
		}
		for line := range strings.Lines(text) {
			var e struct{ Action, Subject, Outcome string }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Outcome != "done" {
				t.Errorf("%s %v", line, err)
			}
			out = append(out, strings.TrimSuffix(e.Action+" "+e.Subject, " "))
		}
		return out
	}
	all := []string{"tenant create " + host, "operator add carol", "operator token carol", "operator role carol", "operator revoke", "operator remove carol"}
	at := between.UTC().Format(time.RFC3339Nano)
	for _, c := range []struct {
		filter []string
		want   []string
	}{
		{nil, all},
		{[]string{"--to", at}, all[:2]},
		{[]string{"--from", at}, all[2:]},
		{[]string{"--from", at, "--to", at}, nil},
		{[]string{"--action", "operator role"}, all[3:4]},
		{[]string{"--subject", "carol"}, slices.Concat(all[1:4], all[5:])},
		{[]string{"--who", "cli:nobody"}, nil},
		{[]string{"--since", "1h"}, all},
	} {
		if got := log(c.filter...); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%v: %q, want %q", c.filter, got, c.want)
		}
	}
}
