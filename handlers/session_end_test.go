package handlers

import (
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
)

// What ends sessions ends the access tokens too that are out, at once; not only the refresh tokens.
func TestAccessTokensEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	mine, other := u.login(userPassword), h.createAccount(hostA, "bob")
	one, two := u.app("one", false), u.app("two", true)
	quiet := u.call(createApp, obj{"name": "quiet"}).ok().str("password")
	alive := func(users ...*user) {
		t.Helper()
		for _, u := range users {
			u.ask(getSession).ok()
		}
	}
	alive(u, mine, one, two, other)

	// Revoking an app password: its sessions are dead, the main password's are not, other apps' refresh.
	u.call(revokeApp, obj{"name": "quiet"}).ok() // never used: nobody is bothered
	h.post(hostA, createSession, "", obj{"identifier": u.did, "password": quiet}).fails(401, "AuthenticationRequired", "")
	alive(u, mine, one, two)
	u.call(revokeApp, obj{"name": "one"}).ok()
	one.ask(getSession).fails(400, "ExpiredToken", "Token has expired")
	h.post(hostA, refreshSession, bearer(one.refresh), nil).fails(400, "ExpiredToken", "revoked")
	alive(u, mine, other)
	two.ask(getSession).fails(400, "ExpiredToken", "")
	r := h.post(hostA, refreshSession, bearer(two.refresh), nil).ok()
	two = &user{h, hostA, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
	alive(two)

	// A new password, by its owner and by an operator.
	for _, change := range []func(){
		func() {
			h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": u.login(userPassword).ask(getSession).str("email")}).ok()
			h.post(hostA, "com.atproto.server.resetPassword", "", obj{"token": u.mailedToken(mail.KindResetPassword), "password": userPassword}).ok()
		},
		func() {
			h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": u.login(userPassword).ask(getSession).str("email")}).ok()
			h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": userPassword}).ok()
			// The mail that is on its way opens nothing any more.
			h.post(hostA, "com.atproto.server.resetPassword", "", obj{"token": u.mailedToken(mail.KindResetPassword), "password": "thief-password"}).fails(400, "InvalidToken", "")
		},
	} {
		change()
		for _, old := range []*user{u, mine, two} {
			old.ask(getSession).fails(400, "ExpiredToken", "")
			old.create(custom, "", obj{}).fails(400, "ExpiredToken", "")
			h.get(hostA, "com.atproto.sync.getRepo", bearer(old.access), "did", u.did).fails(400, "ExpiredToken", "")
			h.post(hostA, refreshSession, bearer(old.refresh), nil).fails(400, "ExpiredToken", "")
		}
		alive(other, u.login(userPassword))
		u = u.login(userPassword)
		mine, two = u.login(userPassword), u.app("again"+h.email(""), true)
	}

	// A takedown: also where a taken-down account may call, what was given out before is dead.
	h.status(hostA, u.did, true, nil).ok()
	for _, old := range []*user{u, two} {
		old.ask("com.atproto.server.getServiceAuth", "aud", "did:web:example.com", "lxm", "com.atproto.repo.uploadBlob").fails(401, "AccountTakedown", "")
		old.ask(getPrefs).fails(401, "AccountTakedown", "")
		old.ask("com.atproto.server.checkAccountStatus").fails(401, "AccountTakedown", "")
		h.post(hostA, refreshSession, bearer(old.refresh), nil).fails(401, "AccountTakedown", "")
	}
	td := h.post(hostA, createSession, "", obj{"identifier": u.did, "password": userPassword, "allowTakendown": true}).ok().str("accessJwt")
	h.status(hostA, u.did, true, nil).ok() // again: who is leaving goes on
	h.get(hostA, getPrefs, bearer(td)).ok()
	h.status(hostA, u.did, false, nil).ok()
	u.ask(getSession).fails(400, "ExpiredToken", "")
	h.post(hostA, refreshSession, bearer(u.refresh), nil).fails(400, "ExpiredToken", "revoked")
	u.login(userPassword)

	// An account that comes back under its DID is another one.
	gone := h.createAccount(hostA, "gone")
	h.exec(h.a, "UPDATE pds.actor SET session_epoch = session_epoch + 5 WHERE did = $1", gone.did) // as its second sign-up would have it
	h.actors.Forget(h.a.Schema, gone.did)
	gone.ask(getSession).fails(400, "ExpiredToken", "")
	h.check()
}

// Sessions that are being made or prolonged while the password changes end with the others, or do not come about.
func TestSessionsEndRace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	for round := range 6 {
		chain := u.login(userPassword)
		var mu sync.Mutex
		var tokens []string
		keep := func(r reply) {
			if r.status == 200 {
				mu.Lock()
				tokens = append(tokens, r.str("refreshJwt"))
				mu.Unlock()
			}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				token := chain.refresh
				for range 4 {
					r := h.post(hostA, refreshSession, bearer(token), nil)
					if keep(r); r.status != 200 {
						return
					}
					token = r.str("refreshJwt")
				}
			})
		}
		wg.Go(func() {
			keep(h.post(hostA, createSession, "", obj{"identifier": u.did, "password": userPassword}))
		})
		time.Sleep(time.Duration(round) * 2 * time.Millisecond)
		h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": "another-password"}).ok()
		wg.Wait()
		for _, token := range tokens {
			h.post(hostA, refreshSession, bearer(token), nil).fails(400, "ExpiredToken", "")
		}
		h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": userPassword}).ok()
	}
}

// Another process learns of the end of sessions within the time that it keeps answers, and never refuses what is newer
// than its answer.
func TestSessionsEndElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	elsewhere := auth.NewSessions(h.db, h.keys, account.NewCache(h.db, 0, h.clock.Now), h.clock.Now)
	there := func(u *user, accept auth.Accept) error {
		_, err := elsewhere.Account(t.Context(), h.a, "Bearer "+u.access, auth.Proof{}, accept)
		return err
	}
	for _, accept := range []auth.Accept{auth.Std, auth.Std | auth.Guarded} {
		if err := there(u, accept); err != nil {
			t.Fatal(err)
		}
	}
	h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": userPassword}).ok()
	fresh := u.login(userPassword)
	if err := there(fresh, auth.Std|auth.Guarded); err != nil {
		t.Errorf("a new session is refused: %v", err)
	}
	if err := there(u, auth.Std); err == nil {
		t.Error("the look that the new token caused was forgotten")
	}
	h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": userPassword}).ok()
	h.clock.add(account.Fresh)
	if err := there(fresh, auth.Std); err == nil {
		t.Error("the old session still counts")
	}
	h.clock.add(account.Guarded)
	if err := there(fresh, auth.Std|auth.Guarded); err == nil {
		t.Error("the old session still writes")
	}
}

// A takedown that comes while an app signs in: the session that would begin after it does not.
func TestAppSignInDuringTakedown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	password := u.call(createApp, obj{"name": "one"}).ok().str("password")
	answer := make(chan reply, 1)
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if _, err := account.TakeDown(t.Context(), q, h.clock.Now(), h.aid(h.a, u.did), account.Takedown{Applied: true}); err != nil {
			return err
		}
		go func() {
			answer <- h.post(hostA, createSession, "", obj{"identifier": u.did, "password": password})
		}()
		// It has seen the account as it was, and waits to begin the session.
		for range 500 {
			if query64(t, h.url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%LockSessionEpoch%"+h.a.Schema.String()+".actor%'")[0] > 0 {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("the sign-in does not wait")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	(<-answer).fails(401, "AuthenticationRequired", "Invalid identifier or password")
	if n := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".refresh_token")[0]; n != 0 {
		t.Errorf("%d sessions of an account that is taken down", n)
	}
	h.status(hostA, u.did, false, nil).ok()
	u.login(password)
	// A new main password in that moment is no reason to send an app away: app passwords stay.
	err = h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if _, err := account.EndSessions(t.Context(), q, h.aid(h.a, u.did)); err != nil {
			return err
		}
		go func() {
			answer <- h.post(hostA, createSession, "", obj{"identifier": u.did, "password": password})
		}()
		time.Sleep(200 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := (<-answer).ok()
	h.get(hostA, getSession, bearer(r.str("accessJwt"))).ok()
}
