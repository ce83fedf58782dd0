package account_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/passkey/passkeytest"
)

// found is what a page has at a place, unescaped.
func (p *person) found(a *answer, pattern string) string {
	p.t.Helper()
	m := regexp.MustCompile(pattern).FindSubmatch(a.body)
	if m == nil {
		p.t.Fatalf("%s is not there: %s", pattern, a.body)
	}
	return html.UnescapeString(string(m[1]))
}

// addKey makes a passkey on its page.
func (p *person) addKey(name string) *passkeytest.Key {
	p.t.Helper()
	k := passkeytest.New(p.t, p.origin())
	options := p.found(p.get("/account/passkeys"), `data-passkey-new="([^"]*)"`)
	p.submit("/account/passkeys", "do", "add", "name", name, "answer", string(k.Make(p.t, []byte(options)))).goes("/account/passkeys")
	p.get("/account/passkeys").is(200, "The passkey was added", name)
	return k
}

// A passkey is made, named and removed on its page, and shows who its owner is where that is asked.
func TestPasskeysPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	alice.get("/account/passkeys").is(200, "You have none yet", "needs a script", "Remove the password")
	alice.submit("/account/passkeys", "do", "nopassword").is(400, "needs at least one passkey")
	k := alice.addKey("my phone")
	if string(k.Handle) != alice.did || k.RP != hostA {
		t.Errorf("made for %q at %q", k.Handle, k.RP)
	}
	alice.told(mail.KindPasskeyAdded)
	id := alice.found(alice.get("/account/passkeys"), `name="id" value="([^"]*)"`)
	alice.submit("/account/passkeys", "do", "rename", "id", id, "name", "old phone").goes("/account/passkeys")
	alice.get("/account/passkeys").is(200, "old phone").lacks("my phone")
	alice.submit("/account/passkeys", "do", "rename", "id", id, "name", " ").is(400, "1 to 50 characters")
	alice.submit("/account/passkeys", "do", "add", "name", "x", "answer", "{}").is(400, "was not taken")

	// Ten minutes later the key shows who it is.
	alice.later()
	page := alice.submit("/account/passkeys", "do", "nopassword").is(200, "Confirm that it is you", "Use a passkey")
	options := alice.found(page, `data-passkey-proof="([^"]*)"`)
	wrong := *k
	wrong.Verified = false
	alice.submit("/account/passkeys", "do", "nopassword", "proof", "1", "passkey", string(wrong.Answer(t, []byte(options)))).is(400, "was not taken")
	alice.submit("/account/passkeys", "do", "nopassword", "proof", "1", "passkey", string(k.Answer(t, []byte(options)))).goes("/account/passkeys")
	alice.get("/account/passkeys").is(200, "has no password")
	alice.submit("/account/passkeys", "do", "remove", "id", id).is(400, "needs at least one passkey")
	alice.later()
	alice.submit("/account/passkeys", "do", "remove", "id", id).is(200, "allow scripts for this site").lacks(`name="password"`)
}

// code is what an authenticator app shows.
func (p *person) totp(secret string) string {
	p.t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		p.t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(p.now().Unix()/30)))
	sum := mac.Sum(nil)
	at := sum[19] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// An authenticator app is set up by a picture or by typing, its backup codes are shown once, and it goes again.
func TestSecondFactorPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	at := "/account/second-factor"
	alice.get(at).is(200, "Set it up", "Confirm yours first").lacks("backup codes")
	page := alice.submit(at, "do", "begin").is(200, "Scan this", `<svg class="qr"`)
	secret, uri := alice.found(page, `<code id="s-totp">([^<]*)</code>`), alice.found(page, `name="uri" value="([^"]*)"`)
	if u, err := url.Parse(uri); err != nil || u.Query().Get("secret") != strings.ReplaceAll(secret, " ", "") || u.Query().Get("issuer") != hostA {
		t.Error(secret, uri)
	}
	// A mistyped code asks again, with the same picture.
	alice.submit(at, "do", "confirm", "uri", uri, "code", "000000").is(400, `<svg class="qr"`, secret)
	alice.submit(at, "do", "confirm", "uri", "https://evil.example/?secret=AAAA", "code", "000000").lacks("evil.example")
	h.ahead.Add(int64(time.Hour)) // those that failed make the next wait
	alice.submit(at, "do", "begin").is(200, "Confirm that it is you")
	page = alice.submit(at, "do", "begin", "proof", "1", "password", password).is(200, "Scan this")
	secret = alice.found(page, `<code id="s-totp">([^<]*)</code>`)
	page = alice.submit(at, "do", "confirm", "uri", alice.found(page, `name="uri" value="([^"]*)"`), "code", alice.totp(secret)).is(200, "Your backup codes", "this one time")
	codes := regexp.MustCompile(`<li><code>([A-Z2-7]{5}-[A-Z2-7]{5})</code></li>`).FindAllSubmatch(page.body, -1)
	if len(codes) != 10 {
		t.Fatalf("%d codes: %s", len(codes), page.body)
	}
	alice.get(at).is(200, "10 codes are left", "Switch it off").lacks(string(codes[0][1]), "<svg class=\"qr\"")

	alice.later()
	alice.submit(at, "do", "codes").is(200, "Confirm that it is you", "Code of your second factor")
	alice.submit(at, "do", "codes", "proof", "1", "password", password).is(400, "Confirm that it is you")
	page = alice.submit(at, "do", "codes", "proof", "1", "password", password, "factor", string(codes[0][1])).is(200, "Your backup codes")
	if strings.Contains(page.text(), string(codes[1][1])) {
		t.Error("an old code is among the new ones")
	}
	alice.submit(at, "do", "app-off").goes(at)
	alice.get(at).is(200, "is off", "Set it up")
	for _, kind := range []mail.Kind{mail.KindAppFactorOn, mail.KindBackupCodes, mail.KindAppFactorOff} {
		alice.told(kind)
	}

	// Codes by mail, once the address is confirmed.
	alice.submit(at, "do", "mailed-on").is(400, "Confirm your email address first")
	h.exec(h.a, "UPDATE pds.account SET email_confirmed_at = now()")
	alice.submit(at, "do", "mailed-on").goes(at)
	alice.get(at).is(200, "takes a code that is mailed to "+alice.email)
	alice.submit(at, "do", "mailed-off").goes(at)
}

// Devices are listed with this one marked, and are signed out one by one or all at once.
func TestDevicesPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	second, third := h.browser(hostA), h.browser(hostA)
	alice.enter(second, password)
	alice.enter(third, password)
	at := "/account/devices"
	page := alice.get(at).is(200, "This one", "Sign out all others")
	names := regexp.MustCompile(`name="device" value="([^"]*)"`).FindAllSubmatch(page.body, -1)
	if len(names) != 3 {
		t.Fatalf("%d devices", len(names))
	}
	alice.submit(at, "do", "end", "device", "nonsense").is(400, "signed out already")
	alice.submit(at, "do", "others").goes(at)
	second.get("/account").goes("/account/sign-in?return=%2Faccount")
	alice.get(at).is(200, "This one").lacks("Sign out all others")
	alice.enter(second, password)
	second.get("/account").is(200, "@alice.a.test")
	alice.later()
	alice.submit(at, "do", "everywhere").is(200, "Confirm that it is you")
	alice.submit(at, "do", "everywhere", "proof", "1", "password", password).goes(at)
	second.get("/account").goes("/account/sign-in?return=%2Faccount")
	alice.get(at).is(200, "everywhere but here")
}

// Apps may be kept from the password, and the log says what was done.
func TestAppsAndActivityPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	alice.get("/account/apps").is(200, "There are none", "Forbid the password to apps")
	alice.submit("/account/apps", "do", "only").goes("/account/apps")
	alice.get("/account/apps").is(200, "Apps cannot sign in with your password", "Allow it again")
	_, err := h.acts.SignIn(t.Context(), h.a, act.Visitor{}, act.Credentials{Identifier: alice.did, Password: password})
	if err == nil || !strings.Contains(err.Error(), accounts.ErrOAuthOnly.Error()) {
		t.Error(err)
	}
	alice.submit("/account/apps", "do", "end", "app", "AAAA").is(400, "no access any more")
	alice.submit("/account/apps", "do", "allow").goes("/account/apps")
	alice.get("/account/activity").is(200, "The password was forbidden to apps", "The password was allowed to apps again", "With the password, on a page")
}
