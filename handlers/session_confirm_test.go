package handlers

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

const confirmSession = ownServer + "confirmSession"

// A stolen session opens no way in beside a second factor, and takes neither the address nor a factor away.
func TestStolenSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	alice.call(createApp, obj{"name": "before"}).ok() // no factor, nothing to show
	const update = "com.atproto.server.updateEmail"
	uri, backup := alice.enrol()
	address := func() string { return alice.ask(getSession).ok().str("email") }
	was := address()
	stolen := func(u *user) {
		t.Helper()
		u.call(createApp, obj{"name": "thief"}).fails(400, "AuthFactorTokenRequired", "confirmSession")
		u.call(createApp, obj{"name": "thief", "privileged": true}).fails(400, "AuthFactorTokenRequired", "")
		for _, in := range []obj{{"email": "thief@example.com"}, {"email": was, "emailAuthFactor": false}, {"email": "thief@example.com", "emailAuthFactor": true}} {
			u.call(update, in).fails(400, "AuthFactorTokenRequired", "")
		}
		u.call(confirmSession, obj{"password": userPassword}).fails(401, "AuthFactorTokenRequired", "")
		u.call(confirmSession, obj{"password": "wrong", "code": backup[0]}).fails(400, "WrongPassword", "")
		u.call(confirmSession, obj{"password": userPassword, "code": "AAAAA-AAAAA"}).fails(400, "InvalidToken", "")
	}
	stolen(alice)
	// The same with an address that is confirmed and a mailbox that is stolen, too.
	alice.confirmed()
	alice.post(hostA, "com.atproto.server.requestEmailUpdate", bearer(alice.access), nil).ok()
	token := alice.mailedToken(mail.KindUpdateEmail)
	alice.call(update, obj{"email": "thief@example.com", "token": token}).fails(400, "AuthFactorTokenRequired", "")
	if got := address(); got != was {
		t.Fatalf("the address is %s", got)
	}
	// A session prolonged is no better, nor one that an app password opened.
	r := h.post(hostA, refreshSession, bearer(alice.refresh), nil).ok()
	stolen(&user{h, hostA, alice.did, alice.handle, r.str("accessJwt"), r.str("refreshJwt")})

	// By a code of the app the session does it, for ten minutes and by that token alone.
	confirm := func(code string) *user {
		t.Helper()
		r := alice.call(confirmSession, obj{"password": userPassword, "code": code}).ok()
		if until, err := time.Parse(time.RFC3339, r.str("expiresAt")); err != nil || until.Sub(h.clock.Now()) > 10*time.Minute {
			t.Errorf("%v %v", until, err)
		}
		return &user{h, hostA, alice.did, alice.handle, r.str("accessJwt"), ""}
	}
	sure := confirm(code(t, uri, h.clock.Now().Unix()))
	sure.call(createApp, obj{"name": "one"}).ok()
	sure.call(update, obj{"email": "alice-new@example.com", "token": token}).ok()
	stolen(alice)
	h.clock.add(10 * time.Minute)
	sure.call(createApp, obj{"name": "late"}).fails(400, "ExpiredToken", "")
	// A sign-in with a code counts like that: clients that know no confirmSession sign in anew.
	r = alice.signInWith(code(t, uri, h.clock.Now().Unix())).ok()
	fresh := &user{h, hostA, alice.did, alice.handle, r.str("accessJwt"), r.str("refreshJwt")}
	fresh.call(createApp, obj{"name": "two"}).ok()
	r = h.post(hostA, refreshSession, bearer(fresh.refresh), nil).ok()
	(&user{h, hostA, alice.did, alice.handle, r.str("accessJwt"), ""}).call(createApp, obj{"name": "three"}).fails(400, "AuthFactorTokenRequired", "")
	h.clock.add(10*time.Minute + time.Second)
	fresh.call(createApp, obj{"name": "three"}).fails(400, "AuthFactorTokenRequired", "")
	// What ends sessions ends such a token: of another tenant, or of before a new password, it is nothing.
	sure = confirm(backup[1])
	h.raw("POST", hostB, "/xrpc/"+createApp, obj{"name": "x"}, bearer(sure.access)).fails(400, "InvalidToken", "")
	h.admin(hostA, "updateAccountPassword", obj{"did": alice.did, "password": userPassword}).ok()
	sure.call(createApp, obj{"name": "four"}).fails(400, "ExpiredToken", "")
	if r := alice.signInWith(backup[2]).ok(); r.str("email") != "alice-new@example.com" {
		t.Errorf("%s", r.body)
	} else if names := h.get(hostA, listApp, bearer(r.str("accessJwt"))).ok().body; strings.Contains(string(names), "thief") {
		t.Errorf("%s", names)
	}
}

// Mailed codes protect as an app does; what is mailed to change the address is such a code itself.
func TestStolenSessionWithMailedCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	alice.confirmed()
	alice.protect("setEmailFactor", "enabled", true).ok()
	alice.call(createApp, obj{"name": "thief"}).fails(400, "AuthFactorTokenRequired", "")
	alice.call(confirmSession, obj{"password": userPassword}).fails(401, "AuthFactorTokenRequired", "sent to your email")
	late := alice.mailedToken(mail.KindFactorChange)
	h.clock.add(account.TokenLife + time.Second)
	alice.call(confirmSession, obj{"password": userPassword, "code": late}).fails(400, "ExpiredToken", "")
	alice.call(confirmSession, obj{"password": userPassword}).fails(401, "AuthFactorTokenRequired", "sent to your email")
	sent := alice.mailedToken(mail.KindFactorChange)
	// Of many that come with one code, one gets a token.
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			r := alice.call(confirmSession, obj{"password": userPassword, "code": sent})
			if r.status != 200 {
				r.fails(400, "InvalidToken", "")
				return
			}
			won.Add(1)
			(&user{h, hostA, alice.did, alice.handle, r.str("accessJwt"), ""}).call(createApp, obj{"name": "mine"}).ok()
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d tokens for one code", won.Load())
	}
	alice.post(hostA, "com.atproto.server.requestEmailUpdate", bearer(alice.access), nil).ok()
	alice.call("com.atproto.server.updateEmail", obj{"email": "alice-new@example.com", "token": alice.mailedToken(mail.KindUpdateEmail)}).ok()
}
