package handlers

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const (
	getSession     = "com.atproto.server.getSession"
	refreshSession = "com.atproto.server.refreshSession"
	deleteSession  = "com.atproto.server.deleteSession"
)

// TestTokens: every account method with every token that is not the right one.
func TestTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, other := h.createAccount(hostA, "alice"), h.createAccount(hostB, "alice")
	gone := h.createAccount(hostA, "gone")
	parts := strings.Split(alice.access, ".")
	claims := func(change func(obj)) string { // re-signed by nobody
		raw, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		var c obj
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		change(c)
		raw, _ = json.Marshal(c)
		return parts[0] + "." + base64.RawURLEncoding.EncodeToString(raw) + "." + parts[2]
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"at+jwt","alg":"none"}`))
	h.exec(h.a, "UPDATE pds.actor SET creating_since = now() WHERE did = $1", gone.did)
	h.actors.Forget(h.a.Schema, gone.did)
	for _, tt := range []struct {
		what, header string
		status       int
		name         string
	}{
		{"nothing", "", 401, "AuthMissing"},
		{"empty", "Authorization: ", 401, "AuthMissing"},
		{"garbage", bearer("garbage"), 400, "InvalidToken"},
		{"garbage with dots", bearer("a.b.c"), 400, "InvalidToken"},
		{"long garbage", bearer(strings.Repeat("a.", 10_000)), 400, "InvalidToken"},
		{"no token", "Authorization: Bearer", 400, "InvalidToken"},
		{"no token", "Authorization: Bearer ", 400, "InvalidToken"},
		{"other scheme", "Authorization: Digest x", 400, "InvalidToken"},
		{"basic", asAdmin(), 400, "InvalidToken"},
		{"refresh token", bearer(alice.refresh), 400, "InvalidToken"},
		{"other tenant's", bearer(other.access), 400, "InvalidToken"},
		{"other tenant's refresh token", bearer(other.refresh), 400, "InvalidToken"},
		{"no signature", bearer(parts[0] + "." + parts[1] + "."), 400, "InvalidToken"},
		{"alg none", bearer(none + "." + parts[1] + "."), 400, "InvalidToken"},
		{"other header", bearer(none + "." + parts[1] + "." + parts[2]), 400, "InvalidToken"},
		{"changed subject", bearer(claims(func(c obj) { c["sub"] = other.did })), 400, "InvalidToken"},
		{"changed time", bearer(claims(func(c obj) { c["exp"] = 1 << 40 })), 400, "InvalidToken"},
		{"cut", bearer(alice.access[:len(alice.access)-1]), 400, "InvalidToken"},
		{"longer", bearer(alice.access + "A"), 400, "InvalidToken"},
		{"account gone", bearer(gone.access), 403, "AccountNotFound"},
	} {
		for nsid, op := range h.server.Operations {
			if op.Class != "account" && op.Class != "overseen" {
				continue
			}
			var body any
			verb := op.Kind.Verb()
			if op.Input == "application/json" {
				body = obj{}
			}
			r := h.raw(verb, hostA, "/xrpc/"+nsid+h.goodQuery(nsid), body, tt.header)
			r.what = tt.what + ": " + r.what
			// Some methods also take others' tokens, with names of their own for what is wrong with them.
			if len(op.Accept.String()) > 0 && strings.Contains(op.TakesText(), "svc") {
				if r.status < 400 || r.status > 403 {
					t.Errorf("%s: %d %s", r.what, r.status, r.body)
				}
				continue
			}
			r.fails(tt.status, tt.name, "")
		}
		if tt.name == "AccountNotFound" {
			continue
		}
		if tt.what == "refresh token" {
			continue
		}
		r := h.post(hostA, refreshSession, tt.header, nil)
		r.what = tt.what + ": " + r.what
		r.fails(tt.status, tt.name, "")
		h.post(hostA, deleteSession, tt.header, nil).fails(tt.status, tt.name, "")
	}
	h.post(hostA, refreshSession, bearer(alice.access), nil).fails(400, "InvalidToken", "")
	h.post(hostA, deleteSession, bearer(alice.access), nil).fails(400, "InvalidToken", "")
	// The scheme's case does not matter.
	h.get(hostA, getSession, "Authorization: bEaReR "+alice.access).ok()

	// Expired: the name that makes clients refresh.
	h.clock.add(3 * time.Hour)
	alice.ask(getSession).fails(400, "ExpiredToken", "Token has expired")
	alice.create(custom, "", obj{}).fails(400, "ExpiredToken", "Token has expired")
	other.ask(getSession).fails(400, "ExpiredToken", "Token has expired")
	h.get(hostA, getSession, bearer(other.access)).fails(400, "InvalidToken", "") // not even its age is told
}

func TestRefreshRotation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	refresh := func(token string) reply { return h.post(hostA, refreshSession, bearer(token), nil) }
	first := refresh(alice.refresh).ok()
	if first.str("did") != alice.did || first.str("handle") != alice.handle || first.at("active") != true || first.at("emailConfirmed") != false {
		t.Errorf("%s", first.body)
	}
	second := first.str("refreshJwt")
	if second == alice.refresh {
		t.Error("the token was not rotated")
	}
	h.get(hostA, getSession, bearer(first.str("accessJwt"))).ok()
	// Two tabs refresh at once: for two hours the old token gives the same next one.
	h.clock.add(119 * time.Minute)
	if jtiOf(t, refresh(alice.refresh).ok().str("refreshJwt")) != jtiOf(t, second) {
		t.Error("the grace gave another token")
	}
	h.clock.add(2 * time.Minute)
	refresh(alice.refresh).fails(400, "ExpiredToken", "")
	// The next one is not touched by that.
	third := refresh(second).ok().str("refreshJwt")
	// Nobody's after three months.
	h.clock.add(91 * 24 * time.Hour)
	refresh(third).fails(400, "ExpiredToken", "")
	// Signing out takes tokens past their time, twice.
	h.post(hostA, deleteSession, bearer(third), nil).ok()
	h.post(hostA, deleteSession, bearer(third), nil).ok()

	s := h.post(hostA, createSession, "", obj{"identifier": alice.handle, "password": userPassword}).ok()
	t2 := s.str("refreshJwt")
	if r := h.post(hostA, deleteSession, bearer(t2), nil).ok(); len(r.body) != 0 {
		t.Errorf("deleteSession says %q", r.body)
	}
	h.post(hostA, deleteSession, bearer(t2), nil).ok()
	refresh(t2).fails(400, "ExpiredToken", "Token has been revoked")
	// Signing out of a token that was rotated ends the next one too, or at least never brings it back.
	s = h.post(hostA, createSession, "", obj{"identifier": alice.did, "password": userPassword}).ok()
	next := refresh(s.str("refreshJwt")).ok()
	h.post(hostA, deleteSession, bearer(next.str("refreshJwt")), nil).ok()
	refresh(next.str("refreshJwt")).fails(400, "ExpiredToken", "Token has been revoked")
	h.check()
}

func jtiOf(t *testing.T, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Jti string }
	if err := json.Unmarshal(raw, &c); err != nil || c.Jti == "" {
		t.Fatalf("%s: %v", raw, err)
	}
	return c.Jti
}
