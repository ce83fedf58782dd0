package act_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
)

// totp is what an authenticator app shows.
func totp(t *testing.T, secret string, now time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(now.Unix()/30)))
	sum := mac.Sum(nil)
	at := sum[19] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// enrolled is a person with an authenticator app.
func (h *house) enrolled(name string) (p *person, code func() string, backup []string) {
	h.t.Helper()
	p = h.person(h.tenant, name)
	made := must(h.t, first(h.BeginAuthenticator(h.t.Context(), h.tenant, p.owner(true), act.Proof{})), nil)
	backup = must(h.t, first(h.ConfirmOwnAuthenticator(h.t.Context(), h.tenant, p.owner(true), totp(h.t, made.Secret, h.now()))), nil)
	return p, func() string {
		h.seconds.Add(60) // past the code used before
		return totp(h.t, made.Secret, h.now())
	}, backup
}

// signIn signs the person in on its browser.
func (p *person) signIn(code string, trust bool) error {
	p.t.Helper()
	c := act.Credentials{Identifier: p.account.Handle, Password: password, Code: code, Trust: trust}
	d, _, err := p.SignInDevice(p.t.Context(), p.at, p.visitor(), p.browser, c, device.Stay{Remember: true})
	if err == nil && d.Keep != nil {
		p.browser.Presented = *d.Keep
	}
	return err
}

// A browser that its owner trusts is asked for no second factor for thirty days; no other one is trusted by that, nor is a
// copy of its cookie, nor an app.
func TestTrustedBrowser(t *testing.T) {
	h := newHouse(t)
	alice, code, _ := h.enrolled("alice.test")
	h.is("no code", alice.signIn("", true), account.ErrFactorApp)
	h.is("a code", alice.signIn(code(), false), nil)
	h.is("not trusted yet", alice.signIn("", true), account.ErrFactorApp)
	h.is("trust", alice.signIn(code(), true), nil)
	h.is("trusted", alice.signIn("", false), nil)
	listed := must(t, first(h.TrustedBrowsers(t.Context(), h.tenant, alice.owner(false))), nil)
	if len(listed) != 1 || device.Name(listed[0].Device) != alice.visitor().Browser || listed[0].Address != "192.0.2.1" || !listed[0].Until.Equal(listed[0].Since.Add(account.TrustTime)) {
		t.Errorf("%+v", listed)
	}
	h.is("an app", second(h.SignIn(t.Context(), h.tenant, alice.visitor(), act.Credentials{Identifier: "alice.test", Password: password})), account.ErrFactorApp)
	elsewhere := *alice
	elsewhere.browser = newBrowser()
	h.is("another browser", elsewhere.signIn("", false), account.ErrFactorApp)
	copied := *alice
	copied.browser.Session = device.NewSecret()
	h.is("a cookie without its session", copied.signIn("", false), account.ErrFactorApp)
	bob := h.person(h.tenant, "bob.test")
	bob.browser = alice.browser
	h.is("another account there", bob.signIn("", false), nil)
	alice.browser = bob.browser

	until := listed[0].Until
	h.seconds.Add(int64(until.Sub(h.now())/time.Second) - 1)
	h.is("nearly thirty days later", alice.signIn("", false), nil)
	h.seconds.Add(1)
	h.is("thirty days later", alice.signIn("", false), account.ErrFactorApp)
}

// A change of how the account is protected ends all trust, and its owner ends it, too.
func TestTrustEnds(t *testing.T) {
	h := newHouse(t)
	alice, code, backup := h.enrolled("alice.test")
	for what, end := range map[string]func() error{
		"new backup codes": func() (err error) {
			backup, err = h.DrawBackupCodes(t.Context(), h.tenant, alice.owner(true), act.Proof{})
			return err
		},
		"a passkey": func() error { alice.add("key", nil); return nil },
		"the owner": func() error { return h.Distrust(t.Context(), h.tenant, alice.owner(false), "") },
		"the owner, by name": func() error {
			return h.Distrust(t.Context(), h.tenant, alice.owner(false), alice.visitor().Browser)
		},
		"OAuth only": func() error { return h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(true), act.Proof{}, true) },
		"the password": func() error {
			return h.ChangePassword(t.Context(), h.tenant, alice.owner(true), password)
		},
	} {
		h.is("trust", alice.signIn(code(), true), nil)
		h.is("trusted", alice.signIn("", false), nil)
		h.is(what, end(), nil)
		h.is("after "+what, alice.signIn("", false), account.ErrFactorApp)
	}
	h.is("a name that is none", h.Distrust(t.Context(), h.tenant, alice.owner(false), "?"), device.ErrUnknown)
	_ = backup
}

// Five wrong codes make an account wait, for everybody; its owner comes in by another way meanwhile.
func TestCodesLock(t *testing.T) {
	h := newHouse(t)
	alice, code, backup := h.enrolled("alice.test")
	k := alice.add("key", nil)
	trusted := *alice
	trusted.browser = newBrowser()
	h.is("trust", trusted.signIn(code(), true), nil)
	for range act.CodeFree {
		h.is("a wrong code", alice.signIn("000000", false), account.ErrTokenInvalid)
		h.seconds.Add(20) // the guard of addresses
	}
	right := code()
	h.is("the right code", alice.signIn(right, false), act.ErrWait)
	h.is("a trusted browser", trusted.signIn("", false), nil)
	h.is("a backup code", alice.signIn(backup[0], false), nil)
	h.is("a passkey", second(alice.show(k.Answer(t, alice.options()))), nil)
	h.seconds.Add(int64(act.CodeWait / time.Second))
	h.is("after five minutes", alice.signIn(code(), false), nil)
	// Without the password nobody gets as far as a code.
	for range 3 * act.CodeFree {
		_, _, err := h.SignInDevice(t.Context(), h.tenant, act.Visitor{}, newBrowser(), act.Credentials{Identifier: "alice.test", Password: "another", Code: "000000"}, device.Stay{})
		h.is("a stranger", err, account.ErrCredentials)
	}
	h.is("the owner", alice.signIn(code(), false), nil)
}

// OAuth only: an app is told so before it asks for a code, pages and app passwords go on, and what the password began ends.
func TestOAuthOnly(t *testing.T) {
	h := newHouse(t)
	alice, code, _ := h.enrolled("alice.test")
	main := act.Credentials{Identifier: "alice.test", Password: password, Code: code()}
	before := must(t, first(h.SignIn(t.Context(), h.tenant, act.Visitor{}, main)), nil)
	h.is("sign in on a page", alice.signIn(code(), false), nil)
	_, appPassword, err := h.CreateAppPassword(t.Context(), h.tenant, alice.owner(true), act.NewAppPassword{Name: "app"})
	h.is("app password", err, nil)
	app := act.Credentials{Identifier: "alice.test", Password: appPassword}
	appBefore := must(t, first(h.SignIn(t.Context(), h.tenant, act.Visitor{}, app)), nil)
	refresh := func(token string) error {
		r, err := h.Sessions.Refresh(t.Context(), h.tenant, "Bearer "+token, false)
		if err == nil {
			_, err = h.Refresh(t.Context(), h.tenant, r)
		}
		return err
	}
	h.is("a wrong password", h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(false), act.Proof{Password: "another"}, true), act.ErrPassword)
	h.is("switch on", h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(true), act.Proof{}, true), nil)
	main.Code = ""
	h.is("the main password", second(h.SignIn(t.Context(), h.tenant, act.Visitor{}, main)), account.ErrOAuthOnly)
	main.Password = "another"
	h.is("a wrong password tells nothing", second(h.SignIn(t.Context(), h.tenant, act.Visitor{}, main)), account.ErrCredentials)
	h.is("its session", refresh(before.Refresh), auth.ErrRevoked)
	h.is("the app's", refresh(appBefore.Refresh), nil)
	h.is("the app", second(h.SignIn(t.Context(), h.tenant, act.Visitor{}, app)), nil)
	look := must(t, first(h.SeeDevice(t.Context(), h.tenant, alice.browser)), nil)
	if len(look.Accounts) != 1 {
		t.Errorf("%d accounts are signed in on the browser", len(look.Accounts))
	}
	h.is("a page", alice.signIn(code(), false), nil)
	h.is("switch off", h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(true), act.Proof{}, false), nil)
	main.Password, main.Code = password, code()
	h.is("the main password again", second(h.SignIn(t.Context(), h.tenant, act.Visitor{}, main)), nil)
	log := must(t, first(h.Activity(t.Context(), h.tenant, alice.owner(false))), nil)
	if log.Acts[0].What != account.EventOAuthOnlyOff || log.Acts[1].What != account.EventOAuthOnlyOn || log.Acts[2].What != account.EventAppPassword {
		t.Errorf("%+v", log.Acts)
	}
}
