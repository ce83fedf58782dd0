package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What an operator changes about an account for its owner: address, handle, invite codes, and a date of deletion that is
// taken away.
func TestAccountOwnerCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	defer s.stop()
	ok, refused := commandsIn(t, dir)
	const host, password = "localhost", "a-good-password"
	did := strings.Fields(ok("account", "create", host, "olga.test", "--email", "olga@example.com", "--password", password))[0]

	if out := ok("account", "email", host, "olga.test"); out != did+"  olga@example.com  not confirmed\n" {
		t.Error(out)
	}
	if out := ok("account", "email", host, "olga.test", "--set", "Olga.New@Example.com"); !strings.Contains(out, "olga.new@example.com") || strings.Count(out, "\n") != 1 {
		t.Error(out)
	}
	refused("email", "account", "email", host, "olga.test", "--set", "no address")
	if out := ok("account", "handle", host, did, "--set", "olga-new.test", "--json"); !strings.Contains(out, `"handle": "olga-new.test"`) || !strings.Contains(out, `"before": "olga.test"`) {
		t.Error(out)
	}
	refused("taken", "account", "handle", host, did, "--set", "alice.test")
	refused("no such account", "account", "handle", host, "olga.test")

	code := strings.TrimSpace(ok("invite", "create", host, "--for", did))
	if out := ok("account", "invites", host, did); !strings.Contains(out, "may have invite codes; it has 1") || !strings.Contains(out, code) || !strings.Contains(out, "open") {
		t.Error(out)
	}
	if out := ok("account", "invites", host, did, "--disable", "--note", "spammers", "--end-codes"); !strings.Contains(out, "gets no new invite codes, and those it had are worthless") {
		t.Error(out)
	}
	refused("--note", "account", "invites", host, did, "--note", "spammers")
	refused("can't be used together", "account", "invites", host, did, "--enable", "--disable")
	if out := ok("account", "invites", host, did, "--json"); !strings.Contains(out, `"invitesDisabled": true`) || !strings.Contains(out, `"disabled": true`) {
		t.Error(out)
	}
	ok("account", "invites", host, did, "--enable")

	refused("no date of deletion", "account", "undelete", host, did)
	refused("docs/backup.md", "account", "undelete", host, "nobody.test")
	session := func(method, token string, body any) map[string]any {
		t.Helper()
		status, text := s.post(host, "com.atproto.server."+method, token, body)
		out := map[string]any{}
		if status != http.StatusOK || text != "" && json.Unmarshal([]byte(text), &out) != nil {
			t.Fatal(method, status, text)
		}
		return out
	}
	token, _ := session("createSession", "", map[string]any{"identifier": did, "password": password})["accessJwt"].(string)
	leave := map[string]any{"deleteAfter": time.Now().Add(100 * time.Hour).UTC().Format(time.RFC3339)}
	info := func() (out struct {
		DeactivatedAt, DeleteAfter *time.Time
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(ok("account", "info", host, did)), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, activate := range []bool{false, true} {
		session("deactivateAccount", token, leave)
		if was := info(); was.DeleteAfter == nil {
			t.Fatal("there is no date")
		}
		args := []string{"account", "undelete", host, did}
		if activate {
			args = append(args, "--activate")
		}
		if out := ok(args...); !strings.Contains(out, "is not going to be deleted") {
			t.Error(out)
		}
		if now := info(); now.DeleteAfter != nil || (now.DeactivatedAt == nil) != activate {
			t.Errorf("activate %t: %v", activate, now)
		}
	}
	log := ok("audit", "list", host, "--subject", did)
	for action, n := range map[string]int{"updateAccountEmail": 1, "updateAccountHandle": 1, "disableAccountInvites": 1, "enableAccountInvites": 1, "disableInviteCodes": 1, "updateSubjectStatus": 2} {
		if strings.Count(log, "com.atproto.admin."+action) != n {
			t.Errorf("%s is not there %d times:\n%s", action, n, log)
		}
	}
}
