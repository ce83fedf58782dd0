package handlers

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/mail"
)

// A token that is asked for while the address changes never goes to the old one: who has that mailbox could reset the
// password by it, or have the new address confirmed without being able to read there.
func TestTokenDuringChangeOfAddress(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, tt := range []struct {
		method string
		kind   mail.Kind
		body   func(email string) obj
		to     string // whose mail comes of it; "": none
	}{
		{"requestPasswordReset", mail.KindResetPassword, func(email string) obj { return obj{"email": email} }, ""},
		{"requestEmailConfirmation", mail.KindConfirmEmail, func(string) obj { return nil }, "new"},
		{"requestAccountDelete", mail.KindDeleteAccount, func(string) obj { return nil }, "new"},
	} {
		u := h.createAccount(hostA, fmt.Sprintf("user%d", i))
		old := u.ask(getSession).ok().str("email")
		fresh := "new-" + old
		conn, err := pgx.Connect(t.Context(), h.url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// What a change of address does, up to the moment before its commit.
		for _, sql := range []string{
			"UPDATE %s.account SET email = '" + fresh + "', email_confirmed_at = NULL WHERE email = '" + old + "'",
			"DELETE FROM %[1]s.account_item e USING %[1]s.account c WHERE e.kind = 4 AND c.aid = e.aid AND c.email = '" + fresh + "'",
		} {
			if _, err := tx.Exec(t.Context(), fmt.Sprintf(sql, h.a.Schema)); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan reply, 1)
		go func() {
			var body any
			if b := tt.body(old); b != nil {
				body = b
			}
			r, _ := h.try("POST", hostA, "/xrpc/com.atproto.server."+tt.method, body, bearer(u.access))
			done <- r
		}()
		waits := func() bool {
			return query64(t, h.url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%"+h.a.Schema.String()+".account_item%'")[0] > 0
		}
		var r *reply
		for end := time.Now().Add(20 * time.Second); r == nil && !waits(); time.Sleep(5 * time.Millisecond) {
			select {
			case got := <-done:
				r = &got
			default:
				if time.Now().After(end) {
					t.Fatalf("%s neither answers nor waits", tt.method)
				}
			}
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r == nil {
			got := <-done
			r = &got
		}
		if r.status != 200 {
			t.Errorf("%s: %d %s", tt.method, r.status, r.body)
		}
		tokens := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".account_item WHERE kind = 4 AND aid = $1", h.aid(h.a, u.did))[0]
		var to []string
		for _, m := range h.queued(h.a) {
			if m.Kind == tt.kind {
				to = append(to, m.To)
			}
		}
		switch {
		case tt.to == "" && (tokens != 0 || len(to) != 0):
			t.Errorf("%s: %d tokens, mail to %v", tt.method, tokens, to)
		case tt.to != "" && (tokens != 1 || len(to) != 1 || to[0] != fresh):
			t.Errorf("%s: %d tokens, mail to %v, want %s", tt.method, tokens, to, fresh)
		}
	}
	h.check()
}

// A stranger who has all the mails of a day sent keeps nobody out: asking makes the code good again that is in the mailbox.
func TestResetAfterAllMails(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"rate_limits": "on"}})
	u := h.createAccount(hostA, "alice")
	email := u.ask(getSession).ok().str("email")
	ask := func(from string) {
		t.Helper()
		h.raw("POST", hostA, "/xrpc/com.atproto.server.requestPasswordReset", obj{"email": email}, "X-Forwarded-For: "+from).ok()
	}
	mails := func() (n int) {
		for _, m := range h.queued(h.a) {
			if m.Kind == mail.KindResetPassword {
				n++
			}
		}
		return n
	}
	for i := range 8 {
		ask(fmt.Sprintf("203.0.113.%d", i))
	}
	sent, code := mails(), u.mailedToken(mail.KindResetPassword)
	if sent < 5 || sent > 6 { // a window may end in between
		t.Fatalf("%d mails", sent)
	}
	h.clock.add(20 * time.Minute)
	reset := func(password string) reply {
		return h.post(hostA, "com.atproto.server.resetPassword", "", obj{"token": code, "password": password})
	}
	reset("another-password").fails(400, "ExpiredToken", "")
	ask("198.51.100.7")
	if got := mails(); got != sent && got != sent+1 {
		t.Errorf("%d mails, then %d", sent, got)
	} else if got > sent {
		code = u.mailedToken(mail.KindResetPassword) // the hour's window ended: a mail came after all
	}
	reset("another-password").ok()
	ask("198.51.100.7")
	reset("once-more-the-same").fails(400, "InvalidToken", "") // what was used stays used
}
