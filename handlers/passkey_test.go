package handlers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/passkey/passkeytest"
)

// addKey gives the user a passkey, as the account's page does.
func (u *user) addKey(name string) *passkeytest.Key {
	u.t.Helper()
	ctx, by := u.t.Context(), u.owner()
	options, err := u.acts.AskNewPasskey(ctx, u.tenant(), by)
	u.is("options", err, nil)
	k := passkeytest.New(u.t, u.tenant().PublicURL)
	u.is("add "+name, u.acts.AddPasskey(ctx, u.tenant(), by, act.Proof{}, name, k.Make(u.t, options)), nil)
	return k
}

// Passkeys are listed and deleted by methods, too. Another account's are nobody's business, and neither is a key of another
// tenant that has the same id.
func TestPasskeyMethods(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	list := func(u *user) []any { return u.ask(ownServer + "listPasskeys").ok().at("passkeys").([]any) }
	if got := list(alice); len(got) != 0 {
		t.Error(got)
	}
	alice.addKey("phone")
	got := list(alice)
	if len(got) != 1 || len(list(bob)) != 0 {
		t.Fatal(got)
	}
	key := got[0].(map[string]any)
	id := key["id"].(string)
	if key["name"] != "phone" || key["synced"] != false || key["createdAt"] == nil || key["lastUsedAt"] != nil {
		t.Error(key)
	}
	bob.protect("deletePasskey", "id", id).fails(400, "PasskeyNotFound", "")
	alice.protect("deletePasskey", "id", "?").fails(400, "PasskeyNotFound", "")
	alice.call(ownServer+"deletePasskey", obj{"password": "wrong", "id": id}).fails(400, "WrongPassword", "")
	alice.app("app", false).protect("deletePasskey", "id", id).fails(400, "InvalidToken", "")
	bob.confirmed()
	bob.protect("setEmailFactor", "enabled", true).ok()
	bob.protect("deletePasskey", "id", id).fails(401, "AuthFactorTokenRequired", "sent to your email")
	late := bob.mailedToken(mail.KindFactorChange)
	h.clock.add(account.TokenLife + time.Second)
	bob.protect("deletePasskey", "id", id, "code", late).fails(400, "ExpiredToken", "")
	bob.protect("deletePasskey", "id", id, "code", "AAAAA-AAAAA").fails(400, "InvalidToken", "")
	alice.protect("deletePasskey", "id", id).ok()
	if len(list(alice)) != 0 {
		t.Error("it is still there")
	}
	if got := alice.notices(); got != "passkey_added app_password passkey_removed" {
		t.Error(got)
	}
}

// OAuth only: an app that knows the main password is told what to do, in no word that makes it ask for a code.
func TestOAuthOnlySession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	alice.enrol()
	alice.is("switch on", h.acts.SetOAuthOnly(t.Context(), h.a, alice.owner(), act.Proof{}, true), nil)
	r := alice.signInWith("")
	r.fails(401, "OAuthRequired", "OAuth, or with an app password")
	if strings.Contains(string(r.body), "AuthFactorTokenRequired") {
		t.Errorf("%s", r.body)
	}
	h.post(hostA, createSession, "", obj{"identifier": alice.handle, "password": "wrong"}).fails(401, "AuthenticationRequired", "Invalid identifier or password")
	alice.ask("com.atproto.server.getSession").fails(400, "ExpiredToken", "")
	h.post(hostA, refreshSession, bearer(alice.refresh), nil).fails(400, "ExpiredToken", "")
}

// A sign-in from a device that was not seen for half a year is mailed, three times a day at most, and never the first one
// of all. The account's own log has each.
func TestNewDeviceMail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	signIn := func(agent string) {
		t.Helper()
		h.raw("POST", hostA, "/xrpc/"+createSession, obj{"identifier": alice.handle, "password": userPassword}, "User-Agent: "+agent).ok()
	}
	mails := func() (out []queuedMail) {
		for _, n := range h.queued(h.a) {
			if n.Kind == mail.KindNewDevice {
				out = append(out, n)
			}
		}
		return out
	}
	told := func(want int) {
		t.Helper()
		if got := len(mails()); got != want {
			t.Errorf("%d mails of new devices, want %d", got, want)
		}
	}
	signIn("First/1.0") // the first sign-in that is known
	told(0)
	signIn("First/2.0 (an update)")
	told(0)
	signIn("Second/1.0")
	told(1)
	if n := mails()[0]; !strings.HasPrefix(n.Detail, "Second 1.0, ") || n.Date == "" || n.Handle != alice.handle {
		t.Errorf("%+v", n)
	}
	signIn("Second/1.0")
	signIn("Third/1.0")
	signIn("Fourth/1.0")
	told(3)
	signIn("Fifth/1.0") // one too many today
	told(3)
	h.clock.add(24 * time.Hour)
	signIn("Sixth/1.0")
	told(4)
	h.clock.add(179 * 24 * time.Hour)
	signIn("Sixth/1.0")
	told(4)
	h.clock.add(180 * 24 * time.Hour)
	signIn("Sixth/1.0")
	told(5)
	log, err := account.ReadLog(t.Context(), h.db.Tenant(h.a.Schema).Q(), alice.owner().AID)
	if err != nil {
		t.Fatal(err)
	}
	if last := log.SignIns[0]; last.Agent != "Sixth 1.0" || last.Times != 3 || last.Via != account.ViaAPI || last.Address == "" {
		t.Errorf("%+v", last)
	}
}

// The log of an account keeps the newest of each kind, in one row.
func TestActivityIsBounded(t *testing.T) {
	t.Parallel()
	var l account.Log
	at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	for i := range 500 {
		a := account.Activity{At: at.Add(time.Duration(i) * time.Minute), What: account.EventSignIn, Via: account.ViaAPI, Agent: fmt.Sprint(strings.Repeat("x", 1000), i), Address: fmt.Sprint(i)}
		l.SignedIn(a, a.Address)
		l.Add(account.Activity{At: a.At, What: account.EventHandle, Detail: strings.Repeat("ü", 1000)})
	}
	if len(l.SignIns) != 50 || l.SignIns[0].Address != "499" || len(l.Acts) != 100 || len(l.Seen) != 100 || len(l.Mailed) > 3 || len([]rune(l.Acts[0].Detail)) != 200 {
		t.Errorf("%d sign-ins, %d acts, %d devices, %d mails", len(l.SignIns), len(l.Acts), len(l.Seen), len(l.Mailed))
	}
}
