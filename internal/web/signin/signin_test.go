package signin

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/tenant"
)

func (h *house) owner(who *account.Account) act.Owner {
	return act.Owner{
		Account: auth.Account{AID: who.AID, DID: who.DID, Handle: who.Handle, Scope: auth.ScopeAccess}, ProvenAt: h.now(),
		Visitor: act.Visitor{From: fair.Path{h.a.Schema.String(), "192.0.2.8"}, Language: "en"},
	}
}

func (h *house) didOf(t *tenant.Tenant, name string) string {
	h.t.Helper()
	who, err := account.ByHandle(h.t.Context(), h.db.Tenant(t.Schema).Q(), name+"."+t.Hostname)
	if err != nil {
		h.t.Fatal(err)
	}
	return who.DID
}

// enrol gives an account an authenticator app. code is what the app shows next.
func (h *house) enrol(t *tenant.Tenant, name string) (code func() string) {
	h.t.Helper()
	by := h.owner(h.byDID(t, h.didOf(t, name)))
	made, err := h.acts.BeginAuthenticator(h.t.Context(), t, by, act.Proof{Password: password})
	if err != nil {
		h.t.Fatal(err)
	}
	show := func() string {
		h.pass(time.Minute) // past the code used before
		key, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
		mac := hmac.New(sha1.New, key)
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(h.now().Unix()/30)))
		sum := mac.Sum(nil)
		return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff)%1_000_000)
	}
	if _, err := h.acts.ConfirmOwnAuthenticator(h.t.Context(), t, by, show()); err != nil {
		h.t.Fatal(err)
	}
	return show
}

var mailedCode = regexp.MustCompile(`\b[A-Z2-7]{5}-[A-Z2-7]{5}\b`)

// mailed is the code in the newest mail, and how many were sent so far.
func (h *house) mailed(t *tenant.Tenant) (code string, n int) {
	h.t.Helper()
	if _, err := h.acts.Outbox.Deliver(context.WithoutCancel(h.t.Context()), t); err != nil {
		h.t.Fatal(err)
	}
	h.mails.mu.Lock()
	defer h.mails.mu.Unlock()
	all := mailedCode.FindAllString(h.mails.text.String(), -1)
	if len(all) == 0 {
		return "", 0
	}
	return all[len(all)-1], len(all)
}

func (h *house) signOut(p *person, handle string) {
	h.t.Helper()
	p.open(h.a.PublicURL + "/account/sign-in?step=choose")
	p.press("Sign out of @" + handle)
}

// away from the pages of this room: the account's are not served here.
func (pg *page) goesTo(want string) {
	pg.t.Helper()
	if pg.location != nil || pg.status != http.StatusNotFound || pg.url.RequestURI() != want {
		pg.t.Fatalf("%d %v, want %s", pg.status, pg, want)
	}
}

// TestAccountPages: somebody signs in for the account's own pages, and is sent nowhere else.
func TestAccountPages(t *testing.T) {
	h := newHouse(t)
	did := url.QueryEscape(h.account(h.a, "alice"))
	sign := h.a.PublicURL + "/account/sign-in"
	for back, want := range map[string]string{
		"":                           "/account?account=" + did,
		"/account/password":          "/account/password?account=" + did,
		"/account/data?x=1":          "/account/data?account=" + did + "&x=1",
		"https://evil.example/":      "/account?account=" + did,
		"//evil.example/account":     "/account?account=" + did,
		"/account//evil.example":     "/account?account=" + did,
		"/account/../oauth":          "/account?account=" + did,
		"/account\\evil":             "/account?account=" + did,
		"/oauth/authorize":           "/account?account=" + did,
		"/account/sign-in?return=/x": "/account?account=" + did,
		"/accounts":                  "/account?account=" + did,
	} {
		h.person().signIn(sign+"?"+url.Values{"return": {back}}.Encode(), "alice.a.test", false).goesTo(want)
	}
	h.person().signIn(sign, "alice@example.com", false).goesTo("/account?account=" + did)
	h.person().signIn(sign, "@Alice.A.test", false).goesTo("/account?account=" + did)
	p := h.signedIn(h.a, "alice", true)
	p.open(sign).says(200, "Choose an account")
	p.press("Continue as @alice.a.test").goesTo("/account?account=" + did)
	h.signOut(p, "alice.a.test")
	p.page.says(200, "@alice.a.test is signed out in this browser.")
	p.open(sign).says(200, "Handle or e-mail address")
	h.person().open(h.a.PublicURL + "/.well-known/change-password").goesTo("/account/password")
}

// TestWrongPasswords: a page says nothing that would tell whether there is an account.
func TestWrongPasswords(t *testing.T) {
	h := newHouse(t)
	did := h.account(h.a, "alice")
	sign := h.a.PublicURL + "/account/sign-in"
	var said []string
	for _, handle := range []string{"alice.a.test", "nobody.a.test", "alice@example.com", "nobody@example.com"} {
		p := h.person()
		p.open(sign)
		page := p.press("Sign in", "identifier", handle, "password", "wrong horse").says(400, "do not fit together")
		said = append(said, strings.ReplaceAll(page.words, handle, ""))
		if strings.Contains(page.body, "wrong horse") {
			t.Error("the password stands in the page")
		}
	}
	for _, s := range said {
		if s != said[0] {
			t.Errorf("%q is not %q", s, said[0])
		}
	}
	p := h.person()
	p.open(sign)
	p.press("Sign in", "password", "x").says(400, "Enter your handle or e-mail address.")
	p.press("Sign in", "identifier", "alice.a.test").says(400, "Enter your password.")
	_, app, err := h.acts.CreateAppPassword(t.Context(), h.a, h.owner(h.byDID(h.a, did)), act.NewAppPassword{Name: "phone"})
	if err != nil {
		t.Fatal(err)
	}
	p.press("Sign in", "identifier", "alice.a.test", "password", app).says(400, "That is an app password.")
}

// TestManyAttempts: beyond the limit nothing is looked at any more, and it is said how long.
func TestManyAttempts(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	p := h.person()
	p.open(h.a.PublicURL + "/account/sign-in")
	before := h.acts.Passwords.Hashes()
	limited := 0
	for range 40 {
		pg := p.press("Sign in", "identifier", "alice.a.test", "password", "wrong")
		if pg.status == http.StatusTooManyRequests {
			limited++
			if pg.header.Get("Retry-After") == "" || !strings.Contains(pg.words, "Too many attempts") {
				t.Fatal(pg, pg.header)
			}
		}
	}
	if hashed := h.acts.Passwords.Hashes() - before; hashed > act.PairFree || limited < 30 {
		t.Errorf("%d hashes, %d refused", hashed, limited)
	}
}

// TestSecondFactor: an authenticator app, a backup code's form, and a password that waits for it.
func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	code := h.enrol(h.a, "alice")
	sign := h.a.PublicURL + "/account/sign-in"
	p := h.person()
	p.signIn(sign, "alice.a.test", true).says(200, "authenticator app")
	if strings.Contains(p.page.body, password) {
		t.Error("the password stands in the page")
	}
	p.press("Confirm", "code", "").says(400, "Fill this in.")
	p.press("Confirm", "code", "000000").says(400, "This code is not right")
	p.open(p.page.url.String()).says(200, "authenticator app") // loaded again
	p.press("Confirm", "code", code(), "trust", "on").goesTo("/account?account=" + url.QueryEscape(h.didOf(h.a, "alice")))
	// This browser is trusted now, another is not.
	p.signIn(sign+"?step=sign-in", "alice.a.test", true).goesTo("/account?account=" + url.QueryEscape(h.didOf(h.a, "alice")))
	// What was shown in one browser is nothing in another.
	q := h.person()
	q.signIn(sign, "alice.a.test", true).says(200, "authenticator app")
	waiting := q.page.forms[0].values.Get("waiting")
	thief := h.person()
	thief.open(sign)
	f := thief.page.forms[0]
	f.values.Set("step", "code")
	f.values.Set("waiting", waiting)
	f.values.Set("code", code())
	thief.submit(f, f.buttons[0]).says(200, "Enter your password again")
	// Nor is it for long.
	h.pass(16 * time.Minute)
	q.press("Confirm", "code", code()).says(200, "Enter your password again")
	// Nor under another password.
	q.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "authenticator app")
	if err := h.acts.ChangePassword(t.Context(), h.a, h.owner(h.byDID(h.a, h.didOf(h.a, "alice"))), "another password"); err != nil {
		t.Fatal(err)
	}
	q.press("Confirm", "code", code()).says(200, "Enter your password again")
}

// TestMailedCode: a code comes by mail, and another one when it is asked for.
func TestMailedCode(t *testing.T) {
	h := newHouse(t)
	did := h.account(h.a, "alice")
	by := h.owner(h.byDID(h.a, did))
	if err := h.acts.RequestEmailConfirmation(t.Context(), h.a, by); err != nil {
		t.Fatal(err)
	}
	code, _ := h.mailed(h.a)
	if err := h.acts.ConfirmEmail(t.Context(), h.a, by, "alice@example.com", code); err != nil {
		t.Fatal(err)
	}
	if err := h.acts.SetEmailFactor(t.Context(), h.a, by, act.Proof{Password: password}, true); err != nil {
		t.Fatal(err)
	}
	_, before := h.mailed(h.a)
	p := h.person()
	p.signIn(h.a.PublicURL+"/account/sign-in", "alice.a.test", true).says(200, "We have sent a code to your e-mail address")
	code, n := h.mailed(h.a)
	if n != before+1 {
		t.Fatal(before, n)
	}
	p.press("Send another code").says(200, "it is on its way")
	p.press("Confirm", "code", "AAAAA-AAAAA").says(400, "This code is not right")
	if again, _ := h.mailed(h.a); again != code {
		t.Error("the code that was good was replaced", code, again)
	}
	h.pass(15 * time.Minute)
	p.press("Confirm", "code", code).says(200, "Enter your password again")
	p.press("Sign in", "identifier", "alice.a.test", "password", password).says(200, "We have sent a code")
	code, _ = h.mailed(h.a)
	p.press("Confirm", "code", strings.ToLower(code)).goesTo("/account?account=" + url.QueryEscape(did))
}

// TestForgottenPassword: a mailed code sets another, and the answer is the same for an address that nobody has.
func TestForgottenPassword(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "alice")
	old := h.signedIn(h.a, "alice", true)
	p := h.person()
	sign := h.a.PublicURL + "/account/sign-in"
	p.open(sign)
	p.follow("Forgot your password?").says(200, "We send you a code")
	p.press("Send the code", "email", "nobody@example.com").says(200, "If there is an account with that address")
	if code, n := h.mailed(h.a); n != 0 {
		t.Fatal(code)
	}
	p.open(sign + "?step=forgot")
	p.press("Send the code", "email", "Alice@example.com").says(200, "If there is an account with that address")
	code, _ := h.mailed(h.a)
	p.press("Set the password", "code", "AAAAA-AAAAA", "password", "another password").says(400, "This code is not right")
	p.press("Set the password", "code", code, "password", "short").says(400, "must have 8 to 256 characters")
	p.press("Set the password", "code", code, "password", "another password").says(200, "all devices and apps were signed out")
	p.press("Sign in", "identifier", "alice.a.test", "password", password).says(400, "do not fit")
	p.press("Sign in", "identifier", "alice.a.test", "password", "another password").goesTo("/account?account=" + url.QueryEscape(h.didOf(h.a, "alice")))
	old.open(sign).says(200, "Handle or e-mail address")
}

// TestForged: forms that a page of ours did not send do nothing, and the session changes when somebody signs in.
func TestForged(t *testing.T) {
	h := newHouse(t)
	h.account(h.a, "mallory")
	sign := h.a.PublicURL + "/account/sign-in"
	// Somebody else's page signs the victim in as mallory.
	victim := h.person()
	body := url.Values{"step": {"sign-in"}, "identifier": {"mallory.a.test"}, "password": {password}}
	victim.send("POST", sign, body, "https://evil.example/").says(403, "")
	victim.open(sign)
	mallory := h.person()
	mallory.open(sign)
	body.Set("form-token", mallory.page.forms[0].values.Get("form-token"))
	victim.send("POST", sign, body, sign).says(403, "")
	if page := victim.open(sign); strings.Contains(page.words, "mallory") {
		t.Error(page)
	}
	// A session that was there before is another one after.
	p := h.signedIn(h.a, "mallory", true)
	before := p.cookies["a.test"]["__Host-device-session"]
	h.account(h.a, "bob")
	p.signIn(sign+"?step=sign-in", "bob.a.test", true)
	if after := p.cookies["a.test"]["__Host-device-session"]; before == "" || after == "" || after == before {
		t.Errorf("session %q, then %q", before, after)
	}
	// Nobody frames these pages, and programs of other pages cannot ask for them.
	at := h.push(h.a, devApp("atproto"))
	page := p.open(at)
	csp := page.header.Get("Content-Security-Policy")
	for _, part := range []string{"frame-ancestors 'none'", "default-src 'none'", "script-src 'self'", "form-action 'self' https:"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%s lacks %s", csp, part)
		}
	}
	if page.header.Get("X-Frame-Options") != "DENY" || page.header.Get("Cache-Control") != "no-store" || page.header.Get("Cross-Origin-Opener-Policy") != "same-origin" {
		t.Error(page.header)
	}
	for _, odd := range []map[string]string{
		{"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
		{"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"},
		{"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"},
	} {
		u, _ := url.Parse(at)
		r, _ := http.NewRequestWithContext(t.Context(), "GET", h.http.URL+u.RequestURI(), nil)
		r.Host = u.Host
		for k, v := range odd {
			r.Header.Set(k, v)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Error(odd, res.StatusCode)
		}
	}
}

// TestLeaving: the address that leads on to an app leads only where this server has sent this browser, from its own page.
func TestLeaving(t *testing.T) {
	h := newHouse(t)
	p := h.person()
	leave := h.a.PublicURL + "/oauth/authorize/redirect"
	for _, to := range []string{"", "?to=https://evil.example", "?to=e30.e30", "?to=" + strings.Repeat("a", 3000)} {
		p.open(leave+to).says(403, "cannot be opened from elsewhere")
		p.send("GET", leave+to, nil, h.a.PublicURL+"/oauth/authorize?x").says(403, "cannot be opened from elsewhere")
	}
}
