package handlers

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// mentions lists the tables of a tenant, by the catalogue, in which a text stands in any row, and of items the kinds.
func (h *house) mentions(tn *tenant.Tenant, text string) (out []string) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	rows, _ := conn.Query(h.t.Context(), "SELECT relname::text FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') ORDER BY 1", tn.Schema.String())
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 15 {
		h.t.Fatalf("tables: %v %v", tables, err)
	}
	for _, table := range tables {
		kind := "-1"
		if strings.HasSuffix(table, "_item") {
			kind = "kind"
		}
		// bytea is shown as hexadecimal: look for the text in both forms.
		kinds := query64(h.t, h.url, "SELECT DISTINCT "+kind+"::bigint FROM "+tn.Schema.String()+"."+table+" r WHERE strpos(r::text, $1) > 0 OR strpos(r::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0", text)
		for _, k := range kinds {
			if k < 0 {
				out = append(out, table)
			} else {
				out = append(out, fmt.Sprintf("%s of kind %d", table, k))
			}
		}
	}
	return out
}

// A deleted account leaves its last event, what operators did about it, and codes that are dead. A new table with an
// account's name in it shows up here by itself.
func TestDeletionLeavesNoTrace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "invite_interval_hours", "1")
	u := h.createAccount(hostA, "leaver")
	email := u.ask(getSession).ok().str("email")
	h.set(hostA, "signup", "invite")
	given := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 5, "forAccount": u.did}).ok().str("code")
	u.create("app.bsky.feed.post", "", postRecord("by "+u.handle)).ok()
	u.create("app.bsky.graph.follow", "", obj{"$type": "app.bsky.graph.follow", "subject": u.did, "createdAt": createdAt}).ok()
	u.create("app.bsky.feed.post", "", imagePost("look", u.uploaded(onePixel))).ok()
	u.call(putPrefs, obj{"preferences": list{pref("x", "me", u.handle)}}).ok()
	u.app("app", false)
	h.post(hostA, "com.atproto.server.reserveSigningKey", "", obj{"did": u.did}).ok()
	for _, request := range []string{"requestEmailConfirmation", "requestAccountDelete"} {
		u.call("com.atproto.server."+request, nil).ok()
	}
	h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": email}).ok()
	u.call("com.atproto.identity.requestPlcOperationSignature", nil).ok()
	h.post(hostA, createSession, "", obj{"identifier": u.did, "password": "wrong"}).fails(401, "AuthenticationRequired", "")
	h.admin(hostA, "disableAccountInvites", obj{"account": u.did, "note": "because of " + u.handle}).ok()
	h.status(hostA, u.did, true, nil).ok()
	signUp := func(code string) reply {
		return h.post(hostA, createAccount, "", obj{"handle": "friend.a.test", "email": "friend@example.com", "password": userPassword, "inviteCode": code})
	}
	signUp(given).fails(400, "InvalidInviteCode", "")

	if got := h.mentions(h.a, u.did); len(got) < 4 {
		t.Fatalf("the test does not look: %v", got)
	}
	h.post(hostA, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": userPassword, "token": u.mailedToken(mail.KindDeleteAccount)}).ok()
	h.createAccountWith(hostA, "other", codesOf(t, h, hostA)).emptyTrash()

	allowed := map[string]string{
		"repo_event":             "account(deleted), which subscribers must still hear",
		"tenant_item of kind 17": "what operators did stays",
		"tenant_item of kind 3":  "an invite code: disabled; whom it was for",
	}
	for _, text := range []string{u.did, u.handle, email} {
		for _, table := range h.mentions(h.a, text) {
			if allowed[table] == "" || text == email {
				t.Errorf("%s still stands in %s", text, table)
			}
		}
	}
	// The takedown made the code useless, and the deletion does not bring it back.
	signUp(given).fails(400, "InvalidInviteCode", "")
	h.check()
}

// Of many sign-ups with one code at once exactly as many succeed as it has uses, and those stand in its list.
func TestInviteUsesRace(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"signup": "invite"}})
	const uses, tries = 3, 9
	code := h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": uses}).ok().str("code")
	var wg sync.WaitGroup
	replies := make([]reply, tries)
	for i := range tries {
		body := obj{"handle": "user" + string(rune('a'+i)) + ".a.test", "email": h.email("u"), "password": userPassword, "inviteCode": " " + code + " "}
		wg.Go(func() { replies[i], _ = h.try("POST", hostA, "/xrpc/"+createAccount, body) })
	}
	wg.Wait()
	made := map[any]bool{}
	for _, r := range replies {
		if r.status == 200 {
			made[r.at("did")] = true
		} else {
			r.fails(400, "InvalidInviteCode", "Provided invite code not available")
		}
	}
	c := h.get(hostA, "com.atproto.admin.getInviteCodes", asAdmin()).ok().at("codes").(list)[0].(obj)
	for _, use := range c["uses"].(list) {
		if !made[use.(obj)["usedBy"]] || !strings.HasPrefix(use.(obj)["usedAt"].(string), "20") {
			t.Errorf("%v", use)
		}
	}
	if len(made) != uses || len(c["uses"].(list)) != uses || fmt.Sprint(c["available"]) != fmt.Sprint(uses) {
		t.Errorf("%d accounts by a code for %d; %v", len(made), uses, c)
	}
	h.check()
}
