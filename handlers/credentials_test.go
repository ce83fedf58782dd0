package handlers

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

const (
	createApp = "com.atproto.server.createAppPassword"
	listApp   = "com.atproto.server.listAppPasswords"
	revokeApp = "com.atproto.server.revokeAppPassword"
)

// login signs the user in anew and gives the session.
func (u *user) login(password string) *user {
	u.t.Helper()
	r := u.post(u.host, createSession, "", obj{"identifier": u.handle, "password": password}).ok()
	return &user{u.house, u.host, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
}

func TestEmailConfirmation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	email := u.ask("com.atproto.server.getSession").ok().str("email")
	const request, confirm = "com.atproto.server.requestEmailConfirmation", "com.atproto.server.confirmEmail"
	u.call(request, nil).ok()
	first := u.mailedToken(mail.KindConfirmEmail)
	if !regexp.MustCompile(`^[A-Z2-7]{5}-[A-Z2-7]{5}$`).MatchString(first) {
		t.Errorf("token %q", first)
	}
	u.call(request, nil).ok()
	token := u.mailedToken(mail.KindConfirmEmail)
	if token != first {
		t.Errorf("the token in hand was killed: %q, then %q", first, token)
	}
	u.call(confirm, obj{"email": "other@example.com", "token": token}).fails(400, "InvalidEmail", "")
	u.call(confirm, obj{"email": email, "token": "AAAAA-BBBBB"}).fails(400, "InvalidToken", "")
	// Another's token is nothing, and stays good for its owner.
	bob := h.createAccount(hostA, "bob")
	bob.call(confirm, obj{"email": bob.ask("com.atproto.server.getSession").str("email"), "token": token}).fails(400, "InvalidToken", "")
	// Nor is a token of another purpose.
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	u.call(confirm, obj{"email": email, "token": u.mailedToken(mail.KindDeleteAccount)}).fails(400, "InvalidToken", "")
	u.call(confirm, obj{"email": strings.ToUpper(email), "token": " " + strings.ToLower(token)}).ok()
	if u.ask("com.atproto.server.getSession").ok().at("emailConfirmed") != true {
		t.Error("not confirmed")
	}
	u.call(confirm, obj{"email": email, "token": token}).fails(400, "InvalidToken", "") // used
	u.call(request, nil).ok()
	token = u.mailedToken(mail.KindConfirmEmail)
	h.clock.add(15*time.Minute + time.Second)
	u.call(confirm, obj{"email": email, "token": token}).fails(400, "ExpiredToken", "")
	u.setStatus("takedown_ref", "x")
	u.call(request, nil).fails(401, "AccountTakedown", "")
}

func TestEmailUpdate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	const request, update = "com.atproto.server.requestEmailUpdate", "com.atproto.server.updateEmail"
	if r := u.call(request, nil).ok(); r.at("tokenRequired") != false || len(h.queued(h.a)) != 0 {
		t.Errorf("unconfirmed: %s, %d mails", r.body, len(h.queued(h.a)))
	}
	u.call(update, obj{"email": "New@Example.com"}).ok()
	if r := u.ask("com.atproto.server.getSession").ok(); r.str("email") != "new@example.com" || r.at("emailConfirmed") != false {
		t.Errorf("%s", r.body)
	}
	u.call(update, obj{"email": bob.ask("com.atproto.server.getSession").str("email")}).fails(400, "InvalidRequest", "Email already taken")
	u.call(update, obj{"email": "x@mailinator.com"}).fails(400, "InvalidRequest", "not supported")
	u.call(update, obj{"email": "nonsense"}).fails(400, "InvalidRequest", "not supported")

	u.call("com.atproto.server.requestEmailConfirmation", nil).ok()
	u.call("com.atproto.server.confirmEmail", obj{"email": "new@example.com", "token": u.mailedToken(mail.KindConfirmEmail)}).ok()
	if r := u.call(request, nil).ok(); r.at("tokenRequired") != true {
		t.Errorf("%s", r.body)
	}
	u.call(update, obj{"email": "newer@example.com"}).fails(400, "TokenRequired", "")
	u.call(update, obj{"email": "newer@example.com", "token": "AAAAA-AAAAA"}).fails(400, "InvalidToken", "")
	token := u.mailedToken(mail.KindUpdateEmail)
	u.call("com.atproto.server.requestAccountDelete", nil).ok()
	deletion := u.mailedToken(mail.KindDeleteAccount)
	u.call(update, obj{"email": "newer@example.com", "token": token}).ok()
	if r := u.ask("com.atproto.server.getSession").ok(); r.str("email") != "newer@example.com" || r.at("emailConfirmed") != false {
		t.Errorf("%s", r.body)
	}
	// What was mailed to the old address is dead.
	h.post(hostA, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": userPassword, "token": deletion}).fails(400, "InvalidToken", "")
}

func TestPasswordReset(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	email := u.ask("com.atproto.server.getSession").ok().str("email")
	app := u.call(createApp, obj{"name": "one"}).ok().str("password")
	inApp := u.login(app)
	const request, reset = "com.atproto.server.requestPasswordReset", "com.atproto.server.resetPassword"
	// The same answer for everybody.
	began := time.Now()
	known := h.post(hostA, request, "", obj{"email": strings.ToUpper(email)}).ok()
	mid := time.Now()
	for _, unknown := range []string{"nobody@example.com", u.handle, "", "x\x00@y"} {
		r := h.post(hostA, request, "", obj{"email": unknown}).ok()
		if string(r.body) != string(known.body) {
			t.Errorf("%q: %s, %s", unknown, r.body, known.body)
		}
	}
	if a, b := mid.Sub(began), time.Since(mid)/4; a < resetAnswerTime || b < resetAnswerTime {
		t.Errorf("known %s, unknown %s", a, b)
	}
	resets := 0
	for _, m := range h.queued(h.a) {
		if m.Kind == mail.KindResetPassword {
			resets++
		}
	}
	if resets != 1 {
		t.Errorf("%d mails", resets)
	}
	token := u.mailedToken(mail.KindResetPassword)
	in := func(token, password string) obj { return obj{"token": token, "password": password} }
	h.post(hostA, reset, "", in("AAAAA-AAAAA", "new-password")).fails(400, "InvalidToken", "")
	h.post(hostA, reset, "", in("", "new-password")).fails(400, "InvalidToken", "")
	h.post(hostA, reset, "", in(token, "")).fails(400, "InvalidPassword", "")
	h.post(hostA, reset, "", in(token, strings.Repeat("x", 257))).fails(400, "InvalidPassword", "")
	h.post(hostB, reset, "", in(token, "new-password")).fails(400, "InvalidToken", "") // another tenant
	h.post(hostA, reset, "", in(strings.ToLower(token), "new-password")).ok()
	h.post(hostA, reset, "", in(token, "new-password-again")).fails(400, "InvalidToken", "")
	// All sessions end, the app's too; the app password itself stays.
	h.post(hostA, refreshSession, bearer(u.refresh), nil).fails(400, "ExpiredToken", "")
	h.post(hostA, refreshSession, bearer(inApp.refresh), nil).fails(400, "ExpiredToken", "")
	h.post(hostA, createSession, "", obj{"identifier": u.handle, "password": userPassword}).fails(401, "AuthenticationRequired", "")
	u.login("new-password")
	u.login(app)
	h.post(hostA, request, "", obj{"email": email}).ok()
	token = u.mailedToken(mail.KindResetPassword)
	h.clock.add(16 * time.Minute)
	h.post(hostA, reset, "", in(token, "third-password")).fails(400, "ExpiredToken", "")
}

// A stranger who asks again and again kills no code, sends its owner few mails, and learns nothing.
func TestAskingForOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "rate_limits", "on")
	u := h.createAccount(hostA, "alice")
	email := u.ask("com.atproto.server.getSession").ok().str("email")
	ask := func(n int) {
		t.Helper()
		h.raw("POST", hostA, "/xrpc/com.atproto.server.requestPasswordReset", obj{"email": email}, fmt.Sprintf("X-Forwarded-For: 2001:db8:%x::1", n)).ok()
	}
	ask(0)
	token := u.mailedToken(mail.KindResetPassword)
	for n := range 14 {
		h.clock.add(time.Minute)
		ask(n + 1)
	}
	if n := len(h.queued(h.a)); n > 2*int(resetMails[0].Points) { // a window may end in the middle
		t.Errorf("%d mails in a quarter of an hour", n)
	}
	if again := u.mailedToken(mail.KindResetPassword); again != token {
		t.Errorf("%q, then %q", token, again)
	}
	h.post(hostA, "com.atproto.server.resetPassword", "", obj{"token": token, "password": "another-password"}).ok()
	// Once used it is another one, and so it is after a day.
	h.clock.add(time.Hour)
	ask(20)
	next := u.mailedToken(mail.KindResetPassword)
	h.clock.add(25 * time.Hour)
	ask(21)
	if third := u.mailedToken(mail.KindResetPassword); next == token || third == next {
		t.Errorf("%q, %q, %q", token, next, third)
	}
}

// Somebody with the password alone has the owner's mailbox filled no faster than by two mails a minute, and the owner
// signs in by the code that is there.
func TestSignInMails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.confirmed()
	u.call("com.atproto.server.updateEmail", obj{"email": u.ask("com.atproto.server.getSession").ok().str("email"), "emailAuthFactor": true}).ok()
	h.set(hostA, "rate_limits", "on")
	for n := range 8 {
		h.raw("POST", hostA, "/xrpc/"+createSession, obj{"identifier": u.handle, "password": userPassword}, fmt.Sprintf("X-Forwarded-For: 2001:db8:%x::1", n)).fails(401, "AuthFactorTokenRequired", "")
	}
	mails := 0
	for _, m := range h.queued(h.a) {
		if m.Kind == mail.KindSignIn {
			mails++
		}
	}
	if mails > 2*int(codeMails[0].Points) { // a window may end in the middle
		t.Errorf("%d mails", mails)
	}
	u.signInWith(u.mailedToken(mail.KindSignIn)).ok()
}

// Of many who come with one token, one succeeds.
func TestTokenIsUsedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": u.ask("com.atproto.server.getSession").str("email")}).ok()
	token := u.mailedToken(mail.KindResetPassword)
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			password := "password-" + string(rune('a'+i))
			if r := h.post(hostA, "com.atproto.server.resetPassword", "", obj{"token": token, "password": password}); r.status == 200 {
				won.Store(password, true)
			}
		})
	}
	wg.Wait()
	n := 0
	won.Range(func(password, _ any) bool {
		n++
		u.login(password.(string))
		return true
	})
	if n != 1 {
		t.Errorf("%d resets with one token", n)
	}
}

func TestAppPasswords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	made := u.call(createApp, obj{"name": "one"}).ok()
	password := made.str("password")
	if !regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`).MatchString(password) || made.str("name") != "one" || made.at("privileged") != false {
		t.Errorf("%s", made.body)
	}
	u.call(createApp, obj{"name": "one"}).fails(400, "InvalidRequest", "already")
	u.call(createApp, obj{"name": ""}).fails(400, "InvalidRequest", "")
	u.call(createApp, obj{"name": strings.Repeat("n", 257)}).fails(400, "InvalidRequest", "")
	u.call(createApp, obj{"name": "late", "expiresAt": "2020-01-02T03:04:05Z"}).fails(400, "InvalidRequest", "future")
	strong := u.call(createApp, obj{"name": "two", "privileged": true}).ok().str("password")

	app, both := u.login(password), u.login(strong)
	app.create("app.bsky.feed.post", "", postRecord("by app password")).ok()
	app.ask("com.atproto.server.getSession").ok()
	// What app passwords may not do.
	for _, a := range []*user{app, both} {
		a.call(createApp, obj{"name": "three"}).fails(400, "InvalidToken", "Bad token scope")
		a.call(deactivate, obj{}).fails(400, "InvalidToken", "Bad token scope")
		a.call(activate, nil).fails(400, "InvalidToken", "Bad token scope")
		a.call("com.atproto.server.requestAccountDelete", nil).fails(400, "InvalidToken", "Bad token scope")
		a.call("com.atproto.server.updateEmail", obj{"email": "a@example.com"}).fails(400, "InvalidToken", "Bad token scope")
		a.call("com.atproto.identity.signPlcOperation", obj{}).fails(400, "InvalidToken", "Bad token scope")
	}
	h.post(hostA, "com.atproto.server.deleteAccount", "", obj{"did": u.did, "password": password, "token": "AAAAA-AAAAA"}).fails(401, "AuthenticationRequired", "")
	// Another account's, another tenant's, a wrong one.
	bob := h.createAccount(hostA, "bob")
	for _, try := range [][3]string{{hostA, bob.handle, password}, {hostA, u.handle, "aaaa-aaaa-aaaa-aaaa"}, {hostB, u.did, password}} {
		h.post(try[0], createSession, "", obj{"identifier": try[1], "password": try[2]}).fails(401, "AuthenticationRequired", "Invalid identifier or password")
	}
	// A refreshed session keeps its scope.
	r := h.post(hostA, refreshSession, bearer(app.refresh), nil).ok()
	again := &user{h, hostA, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
	again.call(createApp, obj{"name": "three"}).fails(400, "InvalidToken", "Bad token scope")
	again.create("app.bsky.feed.post", "", postRecord("still")).ok()

	list := u.ask(listApp).ok().at("passwords").(list)
	first, second := list[0].(obj), list[1].(obj)
	if len(list) != 2 || first["name"] != "two" || first["privileged"] != true || second["name"] != "one" || second["lastUsedAt"] == nil || second["password"] != nil {
		t.Errorf("%v", list)
	}
	app.ask(listApp).ok()

	// Revoking ends its sessions and nobody else's.
	u.call(revokeApp, obj{"name": "one"}).ok()
	u.call(revokeApp, obj{"name": "one"}).ok()
	h.post(hostA, refreshSession, bearer(again.refresh), nil).fails(400, "ExpiredToken", "")
	h.post(hostA, createSession, "", obj{"identifier": u.handle, "password": password}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, refreshSession, bearer(both.refresh), nil).ok()
	h.post(hostA, refreshSession, bearer(u.refresh), nil).ok()
	u.call(createApp, obj{"name": "one"}).ok()

	// Not for accounts that are taken down.
	u.setStatus("takedown_ref", "x")
	h.post(hostA, createSession, "", obj{"identifier": u.handle, "password": strong, "allowTakendown": true}).fails(401, "AuthenticationRequired", "")
	u.call(createApp, obj{"name": "four"}).fails(401, "AccountTakedown", "")
}

func TestAppPasswordExpiry(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	until := h.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	made := u.call(createApp, obj{"name": "short", "expiresAt": until}).ok()
	if made.str("expiresAt") == "" {
		t.Errorf("%s", made.body)
	}
	app := u.login(made.str("password"))
	h.clock.add(30 * time.Minute)
	r := h.post(hostA, refreshSession, bearer(app.refresh), nil).ok()
	again := &user{h, hostA, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
	again.ask(getSession).ok()
	h.clock.add(31 * time.Minute)
	// Neither of its tokens outlives it.
	app.ask(getSession).fails(400, "ExpiredToken", "Token has expired")
	again.ask(getSession).fails(400, "ExpiredToken", "Token has expired")
	h.post(hostA, createSession, "", obj{"identifier": u.handle, "password": made.str("password")}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, refreshSession, bearer(r.str("refreshJwt")), nil).fails(400, "ExpiredToken", "Token has expired")
	u.ask(getSession).ok()
	// It is still listed, and its name is free: of those that come at once one gets it.
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := u.call(createApp, obj{"name": "short"})
			if r.status != 200 {
				r.fails(400, "InvalidRequest", "of this name already")
				return
			}
			won.Add(1)
			u.login(r.str("password")).ask(getSession).ok()
		})
	}
	wg.Wait()
	if list := u.ask(listApp).ok().at("passwords").(list); won.Load() != 1 || len(list) != 1 || list[0].(obj)["expiresAt"] != nil {
		t.Errorf("%d won: %v", won.Load(), list)
	}
	h.post(hostA, refreshSession, bearer(r.str("refreshJwt")), nil).fails(400, "ExpiredToken", "")
	// Nor do expired ones take the place of new ones.
	h.exec(h.a, "INSERT INTO pds.account_item (aid, kind, key, lookup, created_at, due_at) SELECT $1, 5, ('old' || n)::bytea, decode(lpad(n::text, 64, '0'), 'hex'), now(), now() FROM generate_series(1, 199) n", h.aid(h.a, u.did))
	u.call(createApp, obj{"name": "one more"}).ok()
}

// An account has so many app passwords and no more, however many are made at once: those beyond could not be seen.
func TestAppPasswordsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	h.exec(h.a, "INSERT INTO pds.account_item (aid, kind, key, lookup, created_at) SELECT $1, 5, ('old' || n)::bytea, decode(lpad(n::text, 64, '0'), 'hex'), now() FROM generate_series(1, 198) n", h.aid(h.a, u.did))
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := u.call(createApp, obj{"name": string(rune('a' + i))})
			if r.status == 200 {
				made.Add(1)
				return
			}
			r.fails(400, "InvalidRequest", "Too many app passwords")
			refused.Add(1)
		})
	}
	wg.Wait()
	if made.Load() != 2 || refused.Load() != 6 || len(u.ask(listApp).ok().at("passwords").(list)) != 200 {
		t.Errorf("%d made, %d refused", made.Load(), refused.Load())
	}
	u.call(revokeApp, obj{"name": "old1"}).ok()
	u.call(createApp, obj{"name": "one more"}).ok()
	// None comes about for an account that goes while its call is on its way: the gate still knows it.
	aid := h.aid(h.a, u.did)
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		_, err := account.Delete(t.Context(), q, h.clock.Now(), aid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	u.call(createApp, obj{"name": "late"}).fails(403, "AccountNotFound", "")
	if n := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".account_item WHERE kind = 5")[0]; n != 0 {
		t.Errorf("%d app passwords of nobody", n)
	}
}
