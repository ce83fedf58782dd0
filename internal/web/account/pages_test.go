package account_test

import (
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/mail"
)

var paths = []string{"", "/handle", "/email", "/password", "/passkeys", "/second-factor", "/devices", "/apps", "/activity", "/app-passwords", "/invites", "/data", "/identity", "/moderation", "/leave"}

// Every page is there for whoever is signed in, and for nobody else: neither who is not, nor somebody of another tenant.
func TestPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.somebody(hostA, "alice"), h.somebody(hostB, "bob")
	stranger := h.browser(hostA)
	foreign := h.browser(hostA) // bob's cookies at alice's host
	foreign.jar.SetCookies(foreign.at(), bob.jar.Cookies(bob.at()))
	for _, path := range paths {
		path = "/account" + path
		alice.get(path).is(200, "<h1>")
		stranger.get(path).goes("/account/sign-in?return=" + strings.ReplaceAll(path, "/", "%2F"))
		foreign.get(path).goes("/account/sign-in?return=" + strings.ReplaceAll(path, "/", "%2F"))
	}
	alice.get("/account").is(200, "@alice.a.test", alice.did, alice.email, "Active")
	alice.get("/account?account=" + bob.did).goes("/account/sign-in?return=%2Faccount")
	if a := alice.get("/account"); a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error(a.header)
	}
	// A form without the page's token, or of nobody, does nothing.
	alice.post("/account/password", "do", "change", "new", "another-password", "again", "another-password").is(403)
	alice.post("/account/password").is(403)
	alice.submit("/account/handle", "do", "nonsense").is(404)
	token := formToken.FindSubmatch(alice.get("/account").body)
	alice.post("/account/sign-out", "form-token", string(token[1]), "account", alice.did).goes("/account/sign-in")
	alice.get("/account").goes("/account/sign-in?return=%2Faccount")
}

// Two accounts on one browser: the address says whose pages they are, also that of a form.
func TestTwoAccounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.somebody(hostA, "alice"), h.somebody(hostA, "bob")
	bob.enter(alice.browser, password)
	alice.get("/account?account="+alice.did).is(200, "@alice.a.test", alice.email).lacks(bob.email)
	alice.get("/account?account="+bob.did).is(200, "@bob.a.test", bob.email).lacks(alice.email)
	alice.submit("/account/app-passwords?account="+alice.did, "do", "make", "name", "of alice").is(200, "of alice")
	if n := h.column(h.a, "SELECT a.did FROM pds.account_item p JOIN pds.actor a ON a.aid = p.aid WHERE p.kind = 5"); len(n) != 1 || n[0] != alice.did {
		t.Error(n)
	}
}

// What matters asks again who it is when the last proof is older than ten minutes, and carries the form along.
func TestProof(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	alice.later()
	page := alice.submit("/account/app-passwords", "do", "make", "name", "my app", "privileged", "on").is(200, "Confirm that it is you", `name="name" value="my app"`, `name="privileged" value="on"`)
	if len(h.column(h.a, "SELECT convert_from(key, 'UTF8') FROM pds.account_item WHERE kind = 5")) != 0 {
		t.Fatal("it was made without a proof")
	}
	token := formToken.FindSubmatch(page.body)
	again := func(with string) *answer {
		return alice.post("/account/app-passwords", "form-token", string(token[1]), "do", "make", "name", "my app", "privileged", "on", "proof", "1", "password", with)
	}
	again("wrong").is(400, "This is not your password", `name="name" value="my app"`)
	again("").is(400, "Confirm that it is you")
	again(password).is(200, "my app")
	if n := h.column(h.a, "SELECT convert_from(key, 'UTF8') FROM pds.account_item WHERE kind = 5 AND flags = 1"); len(n) != 1 {
		t.Error(n)
	}
	// It counts for ten minutes.
	alice.submit("/account/app-passwords", "do", "make", "name", "another").is(200, "another")
	alice.later()
	alice.submit("/account/app-passwords", "do", "make", "name", "third").is(200, "Confirm that it is you")
}

// The password changes, all sessions end, and this browser stays signed in.
func TestPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	other := h.browser(hostA)
	alice.enter(other, password)
	other.get("/account").is(200)
	const path, fresh = "/account/password", "another-password"
	alice.get(path).is(200).lacks(`name="password"`)
	alice.submit(path, "do", "change", "new", fresh, "again", "something else").is(400, "The two passwords differ")
	alice.submit(path, "do", "change", "new", "short", "again", "short").is(400, "8 to 256 characters")
	alice.later()
	alice.get(path).is(200, `name="password"`)
	alice.submit(path, "do", "change", "new", fresh, "again", fresh).is(400, "This is not your password", `name="again"`)
	alice.submit(path, "do", "change", "new", fresh, "again", fresh, "password", "wrong").is(400, "This is not your password")
	alice.submit(path, "do", "change", "new", fresh, "again", fresh, "password", password).goes(path)
	alice.get(path).is(200, "Your password was changed")
	other.get("/account").goes("/account/sign-in?return=%2Faccount")
	alice.told(mail.KindPassword)
	alice.signIn(fresh)
}

func TestAppPasswords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.somebody(hostA, "alice"), h.somebody(hostA, "bob")
	const path = "/account/app-passwords"
	alice.get(path).is(200, "You have none")
	page := alice.submit(path, "do", "make", "name", "my <app>", "days", "30").is(200, "Enter this in my <app> now", "my <app>")
	made := h.secret(page)
	alice.get(path).is(200, "my <app>", "never").lacks(made)
	alice.told(mail.KindAppPassword)
	alice.submit(path, "do", "make", "name", "my <app>").is(400, "You have an app password of this name")
	alice.submit(path, "do", "make", "name", " ").is(400, "Give the app a name")
	// Somebody else's are not theirs to revoke.
	bob.submit(path, "do", "revoke", "name", "my <app>").goes(path)
	app := &person{browser: h.browser(hostA)}
	app.call("com.atproto.server.createSession", map[string]any{"identifier": alice.handle, "password": made})
	alice.get(path).is(200, "just now")
	alice.submit(path, "do", "revoke", "name", "my <app>").goes(path)
	alice.get(path).is(200, "The app password was revoked", "You have none")
	if n := h.column(h.a, "SELECT convert_from(key, 'UTF8') FROM pds.account_item WHERE kind = 5"); len(n) != 0 {
		t.Error(n)
	}
	alice.logged("app_password_revoked")
}

// secret is what a page shows once.
func (h *house) secret(a *answer) string {
	h.t.Helper()
	_, rest, ok := strings.Cut(a.text(), `<code id="s-`)
	_, rest, ok2 := strings.Cut(rest, ">")
	text, _, ok3 := strings.Cut(rest, "<")
	if !ok || !ok2 || !ok3 || text == "" {
		h.t.Fatalf("nothing is shown: %s", a.text())
	}
	return text
}

func TestEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.somebody(hostA, "alice"), h.somebody(hostA, "bob")
	const path = "/account/email"
	alice.get(path).is(200, alice.email, "not confirmed")
	alice.submit(path, "do", "send").is(200, "A code is on its way to "+alice.email)
	alice.submit(path, "do", "confirm", "code", "AAAAA-AAAAA").is(400, "This code is not right", "Code from the mail")
	bob.submit(path, "do", "confirm", "code", alice.code(mail.KindConfirmEmail)).is(400)
	alice.submit(path, "do", "confirm", "code", alice.code(mail.KindConfirmEmail)).goes(path)
	alice.get(path).is(200, "Your address is confirmed", "· confirmed")
	if !alice.row().EmailConfirmed {
		t.Error("it is not confirmed")
	}
	// Another address: codes from both.
	alice.submit(path, "do", "request", "address", "nonsense").is(400, "This is no address", `value="nonsense"`)
	alice.submit(path, "do", "request", "address", alice.email).is(400, "This is your address already")
	alice.submit(path, "do", "request", "address", bob.email).is(400, "Another account has this address")
	alice.submit(path, "do", "request", "address", "new@example.com").is(200, "on its way to new@example.com", "on its way to "+alice.email)
	fresh, old := alice.code(mail.KindNewEmail), alice.code(mail.KindUpdateEmail)
	alice.submit(path, "do", "change", "address", "new@example.com", "code", fresh).is(400, "Enter the code that was mailed", `value="`+fresh)
	alice.submit(path, "do", "change", "address", "other@example.com", "code", fresh, "present", old).is(400, "This code is not right")
	alice.submit(path, "do", "change", "address", "new@example.com", "code", fresh, "present", old).goes(path)
	if a := alice.row(); a.Email != "new@example.com" || !a.EmailConfirmed {
		t.Errorf("%+v", a)
	}
	alice.told(mail.KindEmailChanged)
	if l := h.letters(h.a, mail.KindEmailChanged); l[0].To != alice.email {
		t.Errorf("it was told to %s", l[0].To)
	}
}

// Somebody without an address adds one, and without one is not led into dead ends.
func TestNoEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	h.exec(h.a, "UPDATE pds.account SET email = NULL, email_confirmed_at = NULL")
	alice.get("/account").is(200, "no email address")
	alice.get("/account/identity").is(200, "To change keys you need an email address")
	alice.get("/account/leave").is(200, "To delete your account you need an email address")
	alice.submit("/account/leave", "do", "send").is(400, "no email address")
	alice.submit("/account/email", "do", "request", "address", "new@example.com").is(200, "on its way to new@example.com")
	alice.submit("/account/email", "do", "change", "address", "new@example.com", "code", alice.code(mail.KindNewEmail)).goes("/account/email")
	if a := alice.row(); a.Email != "new@example.com" || !a.EmailConfirmed {
		t.Errorf("%+v", a)
	}
}

func TestHandle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.somebody(hostA, "alice"), h.somebody(hostA, "bob")
	const path = "/account/handle"
	alice.get(path).is(200, "@alice.a.test", `value="alice"`)
	alice.submit(path, "do", "check", "name", "bob", "domain", hostA).is(400, "This handle is taken", `value="bob"`)
	alice.submit(path, "do", "check", "name", "x", "domain", hostA).is(400, "This name is too short")
	alice.submit(path, "do", "check", "name", "admin", "domain", hostA).is(400, "not given away here")
	alice.submit(path, "do", "check", "name", "ümlaut", "domain", hostA).is(400, "This is no handle")
	alice.submit(path, "do", "check", "name", "Alicia", "domain", hostA).is(200, "alicia.a.test is free")
	alice.submit(path, "do", "take", "name", "bob", "domain", hostA).is(400, "This handle is taken")
	alice.submit(path, "do", "take", "name", "@Alicia.a.test", "domain", hostA).goes(path)
	alice.get(path).is(200, "Your handle was changed", "@alicia.a.test")
	alice.handle = "alicia.a.test"
	alice.told(mail.KindHandleChanged)
	if doc, err := h.plc.Resolve(t.Context(), alice.did); err != nil || doc.Handle() != "alicia.a.test" {
		t.Errorf("%+v %v", doc, err)
	}
	kinds := h.column(h.a, "SELECT kind::text FROM pds.repo_event ORDER BY seq DESC LIMIT 1")
	if len(kinds) != 1 || kinds[0] != "3" {
		t.Errorf("the last event is of kind %v", kinds)
	}
	// A domain of one's own: what to do, and what is seen. Names under .test lead to this server, which says whose they are.
	alice.submit(path, "do", "look", "own", "bob.a.test").is(400, "This handle is taken")
	alice.submit(path, "do", "look", "own", "not a domain").is(400, "This is no handle")
	alice.submit(path, "do", "look", "own", "https://Own.B.test/").is(200, "_atproto.own.b.test", "did="+alice.did, "https://own.b.test/.well-known/atproto-did", "Nothing was found", "status 404", `value="alicia"`).lacks("Use own.b.test", "lookup")
	alice.submit(path, "do", "use", "own", "own.b.test").is(400, "does not lead to your account yet")
	_ = bob
}

func TestInvites(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "invite_interval_hours", "24")
	alice := h.somebody(hostA, "alice")
	const path = "/account/invites"
	alice.get(path).is(200, "without an invite code")
	h.set(hostA, "signup", "invite")
	alice.get(path).is(200, "You have no codes").lacks("Get the codes")
	h.ahead.Add(int64(49 * 3600e9))
	alice.signIn(password)
	alice.get(path).is(200, "Get the codes")
	alice.submit(path, "do", "due").goes(path)
	alice.get(path).is(200, "1 of 1").lacks("Get the codes")
	codes := h.column(h.a, "SELECT convert_from(key, 'UTF8') FROM pds.tenant_item WHERE kind = 3 ORDER BY key")
	if len(codes) != 2 {
		t.Fatal(codes)
	}
	carol := &person{browser: h.browser(hostA)}
	carol.call("com.atproto.server.createAccount", map[string]any{"handle": "carol.a.test", "email": "carol@example.com", "password": password, "inviteCode": codes[0]})
	alice.get(path).is(200, "0 of 1", "carol.a.test")
}

// set changes settings of a tenant, as the operator does.
func (h *house) set(host string, kv ...string) {
	h.t.Helper()
	settings := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		settings[kv[i]] = kv[i+1]
	}
	if _, err := h.tenants.Set(h.t.Context(), host, settings); err != nil {
		h.t.Fatal(err)
	}
}
