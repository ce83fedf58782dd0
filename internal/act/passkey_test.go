package act_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/passkey/passkeytest"
	"github.com/auroralocus/locus/internal/tenant"
)

const password = "a-good-password"

// person is somebody with an account, at a browser.
type person struct {
	*house
	at      *tenant.Tenant
	account *account.Account
	browser act.Browser
}

func (h *house) person(at *tenant.Tenant, name string) *person {
	h.t.Helper()
	p := password
	did, _, err := h.CreateAccount(h.t.Context(), at, act.Operator{}, account.Request{Handle: name, Email: name + "@example.com", Password: &p})
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := account.ByDID(h.t.Context(), h.DB.Tenant(at.Schema).Q(), did)
	if err != nil {
		h.t.Fatal(err)
	}
	return &person{h, at, a, newBrowser()}
}

func newBrowser() act.Browser {
	return act.Browser{Presented: device.Presented{ID: device.NewSecret(), Session: device.NewSecret()}, Seen: device.Seen{Agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0", Address: "192.0.2.1"}}
}

// visitor is who sits there and has not said who it is.
func (p *person) visitor() act.Visitor {
	return act.Visitor{Counted: true, Agent: p.browser.Agent, Browser: device.Name(device.Key(p.browser.ID))}
}

// owner is the person as a page knows who is signed in; fresh: it proved a moment ago who it is.
func (p *person) owner(fresh bool) act.Owner {
	o := act.Owner{Account: auth.Account{AID: p.account.AID, DID: p.account.DID, Handle: p.account.Handle, Scope: auth.ScopeAccess}, Visitor: p.visitor()}
	if fresh {
		o.ProvenAt = p.now()
	}
	return o
}

// add gives the person a passkey.
func (p *person) add(name string, change func(*passkeytest.Key)) *passkeytest.Key {
	p.t.Helper()
	k := passkeytest.New(p.t, p.at.PublicURL)
	if change != nil {
		change(k)
	}
	if err := p.AddPasskey(p.t.Context(), p.at, p.owner(true), act.Proof{}, name, k.Make(p.t, p.newOptions())); err != nil {
		p.t.Fatalf("add %s: %v", name, err)
	}
	return k
}

func (p *person) newOptions() []byte {
	p.t.Helper()
	o, err := p.AskNewPasskey(p.t.Context(), p.at, p.owner(true))
	return must(p.t, o, err)
}

func (p *person) options() []byte {
	p.t.Helper()
	o, err := p.AskPasskey(p.t.Context(), p.at, p.visitor())
	return must(p.t, o, err)
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (p *person) show(answer []byte) (*account.Account, error) {
	return p.ShowPasskey(p.t.Context(), p.at, p.visitor(), answer)
}

// is fails the test unless err is want; nil is success.
func (h *house) is(what string, err, want error) {
	h.t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		h.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// A passkey alone signs in, tells whose it is, and signs an account in on a browser. It has a name and a last use, and an
// account has several.
func TestPasskey(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.person(h.tenant, "alice.test"), h.person(h.tenant, "bob.test")
	var options struct {
		RP     struct{ ID string }
		User   struct{ ID, Name string }
		Select struct{ ResidentKey, UserVerification string } `json:"authenticatorSelection"`
		Time   int                                            `json:"timeout"`
	}
	if err := json.Unmarshal(alice.newOptions(), &options); err != nil || options.RP.ID != "localhost" || options.User.Name != "alice.test" ||
		options.Select.ResidentKey != "required" || options.Select.UserVerification != "required" || options.Time != 300_000 {
		t.Errorf("options for a new key: %v %+v", err, options)
	}
	one := alice.add("my phone", func(k *passkeytest.Key) { k.Synced = true })
	if string(one.Handle) != alice.account.DID {
		t.Errorf("user handle %q", one.Handle)
	}
	h.seconds.Add(1)
	two := alice.add(" a  key\n", nil)
	bobs := bob.add("phone", nil)
	h.seconds.Add(60)
	for _, k := range []*passkeytest.Key{one, two} {
		if who := must(t, first(alice.show(k.Answer(t, alice.options()))), nil); who == nil || who.DID != alice.account.DID {
			t.Error("signed in as", who)
		}
	}
	// Whose key it is decides, not who sits there.
	if who, err := alice.show(bobs.Answer(t, alice.options())); err != nil || who.DID != bob.account.DID {
		t.Error(who, err)
	}
	keys := must(t, first(h.Passkeys(t.Context(), h.tenant, alice.owner(false))), nil)
	if len(keys) != 2 || keys[0].Name != "my phone" || !keys[0].Synced || keys[1].Name != "a key" || keys[1].Synced || keys[1].LastUsedAt == nil || !keys[1].LastUsedAt.Equal(h.now()) {
		t.Errorf("%+v", keys)
	}
	d, who, err := h.SignInDeviceByPasskey(t.Context(), h.tenant, alice.visitor(), alice.browser, one.Answer(t, alice.options()), false, device.Stay{Remember: true})
	if err != nil || who.DID != alice.account.DID || d.Name() != alice.visitor().Browser {
		t.Fatal(err)
	}
	log := must(t, first(h.Activity(t.Context(), h.tenant, alice.owner(false))), nil)
	if len(log.SignIns) != 1 || log.SignIns[0].Via != account.ViaPasskey || log.SignIns[0].Agent != "Firefox 143, Linux" {
		t.Errorf("%+v", log.SignIns)
	}
	if len(log.Acts) != 2 || log.Acts[0].What != account.EventPasskeyAdded || log.Acts[0].Detail != "a key" {
		t.Errorf("%+v", log.Acts)
	}
	// A second key of one authenticator is none, and names are names.
	h.is("twice", h.AddPasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, "again", one.Make(t, alice.newOptions())), passkey.ErrTaken)
	h.is("no name", h.AddPasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, " ", one.Make(t, alice.newOptions())), passkey.ErrName)
	h.is("rename", h.RenamePasskey(t.Context(), h.tenant, alice.owner(false), one.ID, "old phone"), nil)
	h.is("rename another's", h.RenamePasskey(t.Context(), h.tenant, alice.owner(false), bobs.ID, "mine"), passkey.ErrUnknown)
	h.is("remove without a proof", h.RemovePasskey(t.Context(), h.tenant, alice.owner(false), act.Proof{}, one.ID), act.ErrPassword)
	h.is("remove", h.RemovePasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, one.ID), nil)
	h.is("removed", second(alice.show(one.Answer(t, alice.options()))), passkey.ErrRefused)
	h.is("the other", second(alice.show(two.Answer(t, alice.options()))), nil)
}

func first[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func second[T any](_ T, err error) error { return err }

// What a passkey has answered is good once, for five minutes, in the browser that was asked, at the tenant that asked, and
// for what was asked.
func TestPasskeyAnswersAreGoodOnce(t *testing.T) {
	h := newHouse(t)
	other, err := h.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: "pds.localhost", HandleDomains: []string{"other.test"}})
	if err != nil {
		t.Fatal(err)
	}
	alice := h.person(h.tenant, "alice.test")
	k := alice.add("key", nil)
	answer := k.Answer(t, alice.options())
	h.is("once", second(alice.show(answer)), nil)
	h.is("twice", second(alice.show(answer)), passkey.ErrExpired)

	late := k.Answer(t, alice.options())
	h.seconds.Add(299)
	h.is("in time", second(alice.show(late)), nil)
	late = k.Answer(t, alice.options())
	h.seconds.Add(300)
	h.is("late", second(alice.show(late)), passkey.ErrExpired)

	elsewhere := *alice
	elsewhere.browser = newBrowser()
	h.is("another browser", second(elsewhere.show(k.Answer(t, alice.options()))), passkey.ErrRefused)

	// Another tenant has other challenges, another relying party, and no such account.
	foreign := &person{h, other, alice.account, alice.browser}
	h.is("another tenant's question", second(alice.show(k.Answer(t, foreign.options()))), passkey.ErrRefused)
	h.is("another tenant's account", second(foreign.show(k.Answer(t, foreign.options()))), passkey.ErrRefused)
	here := *k
	here.RP = "pds.localhost"
	h.is("another relying party", second(alice.show(here.Answer(t, alice.options()))), passkey.ErrRefused)

	// What was asked for one thing is no answer to another.
	proof := must(t, first(h.AskProof(t.Context(), h.tenant, alice.owner(false))), nil)
	h.is("a proof to sign in", second(alice.show(k.Answer(t, proof))), passkey.ErrRefused)
	h.is("a sign-in as a proof", h.RemovePasskey(t.Context(), h.tenant, alice.owner(false), act.Proof{Passkey: k.Answer(t, alice.options())}, k.ID), passkey.ErrRefused)
	h.seconds.Add(3600) // those that failed make the next wait
	fresh := passkeytest.New(t, h.tenant.PublicURL)
	made := fresh.Make(t, alice.newOptions())
	h.is("made", h.AddPasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, "new", made), nil)
	h.is("made twice", h.AddPasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, "new", made), passkey.ErrExpired)
	mallory := h.person(h.tenant, "mallory.test")
	mallory.browser = alice.browser
	stolen := passkeytest.New(t, h.tenant.PublicURL).Make(t, alice.newOptions())
	h.is("made for another account", h.AddPasskey(t.Context(), h.tenant, mallory.owner(true), act.Proof{}, "new", stolen), passkey.ErrRefused)
}

// A key that answers wrongly is refused, and what is no answer, too.
func TestPasskeyRefused(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.person(h.tenant, "alice.test"), h.person(h.tenant, "bob.test")
	k := alice.add("key", nil)
	refused := func(what string, change func(*passkeytest.Key)) {
		t.Helper()
		broken := *k
		change(&broken)
		h.is(what, second(alice.show(broken.Answer(t, alice.options()))), passkey.ErrRefused)
		h.seconds.Add(3600) // those that failed make the next wait
	}
	refused("another origin", func(k *passkeytest.Key) { k.Origin = "https://evil.example" })
	refused("another port", func(k *passkeytest.Key) { k.Origin = "http://localhost:1" })
	refused("a subdomain's page", func(k *passkeytest.Key) { k.Origin = "http://alice.localhost:2583" })
	refused("no user verification", func(k *passkeytest.Key) { k.Verified = false })
	refused("nobody's", func(k *passkeytest.Key) { k.Nameless = true })
	refused("another's name", func(k *passkeytest.Key) { k.Handle = []byte(bob.account.DID) })
	refused("an unknown name", func(k *passkeytest.Key) { k.Handle = []byte("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa") })
	refused("a strange name", func(k *passkeytest.Key) { k.Handle = []byte("aid:\x00") })
	refused("another key by the same id", func(b *passkeytest.Key) {
		fresh := passkeytest.New(t, b.Origin)
		fresh.ID, fresh.Handle, fresh.RP = b.ID, b.Handle, b.RP
		*b = *fresh
	})
	refused("an unknown id", func(k *passkeytest.Key) { k.ID = []byte("0123456789abcdef") })
	refused("a backup state that came from nowhere", func(k *passkeytest.Key) { k.Synced = true })
	for _, junk := range []string{"", "{}", "null", `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`, string(make([]byte, passkey.MaxAnswer+1))} {
		h.is("junk", second(alice.show([]byte(junk))), passkey.ErrRefused)
	}
	for what, change := range map[string]func(*passkeytest.Key){
		"another origin":       func(k *passkeytest.Key) { k.Origin = "https://evil.example" },
		"no user verification": func(k *passkeytest.Key) { k.Verified = false },
		"another party":        func(k *passkeytest.Key) { k.RP = "evil.example" },
	} {
		fresh := passkeytest.New(t, h.tenant.PublicURL)
		change(fresh)
		h.is("make: "+what, h.AddPasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, "new", fresh.Make(t, alice.newOptions())), passkey.ErrRefused)
	}
	h.is("the key itself", second(alice.show(k.Answer(t, alice.options()))), nil)
}

// A key that counts backwards may be a copy: it is refused, the owner is told, and the list shows it.
func TestPasskeyCloned(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	k := alice.add("key", func(k *passkeytest.Key) { k.Counts, k.Count = true, 5 })
	copied := *k
	for range 2 {
		h.is("the key", second(alice.show(k.Answer(t, alice.options()))), nil)
	}
	h.is("its copy", second(alice.show(copied.Answer(t, alice.options()))), passkey.ErrCloned)
	keys := must(t, first(h.Passkeys(t.Context(), h.tenant, alice.owner(false))), nil)
	if keys[0].WarnedAt == nil || !keys[0].WarnedAt.Equal(h.now()) {
		t.Errorf("%+v", keys[0])
	}
	log := must(t, first(h.Activity(t.Context(), h.tenant, alice.owner(false))), nil)
	if log.Acts[0].What != account.EventPasskeyCloned || log.Acts[0].Detail != "key" {
		t.Errorf("%+v", log.Acts)
	}
	h.is("the key goes on", second(alice.show(k.Answer(t, alice.options()))), nil)
}

// Whoever tries passkeys of one account out waits, as with passwords; nobody else does.
func TestPasskeyGuesses(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	k := alice.add("key", nil)
	wrong := *k
	wrong.Verified = false
	for range act.PairFree {
		h.is("wrong", second(alice.show(wrong.Answer(t, alice.options()))), passkey.ErrRefused)
	}
	h.is("wait", second(alice.show(k.Answer(t, alice.options()))), act.ErrWait)
	h.seconds.Add(3600)
	h.is("later", second(alice.show(k.Answer(t, alice.options()))), nil)
}

// An account lives by its passkeys alone: no password opens it, the last passkey stays, and a mailed code sets a password
// again.
func TestPasskeyOnly(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	h.is("without a passkey", h.RemovePassword(t.Context(), h.tenant, alice.owner(true), act.Proof{}), act.ErrLastWayIn)
	k := alice.add("key", nil)
	app := act.Credentials{Identifier: "alice.test", Password: password}
	before := must(t, first(h.SignIn(t.Context(), h.tenant, act.Visitor{}, app)), nil)
	h.is("stale", h.RemovePassword(t.Context(), h.tenant, alice.owner(false), act.Proof{}), act.ErrPassword)
	prove := func() act.Proof {
		return act.Proof{Passkey: k.Answer(t, must(t, first(h.AskProof(t.Context(), h.tenant, alice.owner(false))), nil))}
	}
	k.Nameless = true // a key that is asked by its id need not say whose it is
	h.is("by a passkey", h.RemovePassword(t.Context(), h.tenant, alice.owner(false), prove()), nil)
	k.Nameless = false
	_, err := h.Sessions.Account(t.Context(), h.tenant, "Bearer "+before.Access, auth.Proof{}, auth.Full)
	h.is("the app's session", err, auth.ErrExpired)
	for _, typed := range []string{password, ""} {
		h.is("password "+typed, second(h.SignIn(t.Context(), h.tenant, act.Visitor{}, act.Credentials{Identifier: "alice.test", Password: typed})), account.ErrCredentials)
	}
	h.is("the last passkey", h.RemovePasskey(t.Context(), h.tenant, alice.owner(false), prove(), k.ID), act.ErrLastWayIn)
	h.is("no password to prove", h.RemovePasskey(t.Context(), h.tenant, alice.owner(false), act.Proof{Password: password}, k.ID), act.ErrPassword)
	h.is("by passkey", second(alice.show(k.Answer(t, alice.options()))), nil)
	two := alice.add("two", nil)
	h.is("one of two", h.RemovePasskey(t.Context(), h.tenant, alice.owner(false), prove(), two.ID), nil)

	// A code of an authenticator app proves the owner where there is no password.
	made := must(t, first(h.BeginAuthenticator(t.Context(), h.tenant, alice.owner(true), act.Proof{})), nil)
	if _, err := h.ConfirmOwnAuthenticator(t.Context(), h.tenant, alice.owner(true), totp(t, made.Secret, h.now())); err != nil {
		t.Fatal(err)
	}
	h.seconds.Add(60)
	h.is("a code is asked for", h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(false), act.Proof{}, true), account.ErrFactorApp)
	h.is("a wrong code", h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(false), act.Proof{Code: "000000"}, true), account.ErrTokenInvalid)
	h.is("a code", h.SetOAuthOnly(t.Context(), h.tenant, alice.owner(false), act.Proof{Code: totp(t, made.Secret, h.now())}, true), nil)
}

// Two who remove the last two passkeys of an account without a password at once leave one.
func TestPasskeyOnlyKeepsOne(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	keys := []*passkeytest.Key{alice.add("one", nil), alice.add("two", nil)}
	h.is("remove the password", h.RemovePassword(t.Context(), h.tenant, alice.owner(true), act.Proof{}), nil)
	done := make(chan error, len(keys))
	for _, k := range keys {
		go func() { done <- h.RemovePasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, k.ID) }()
	}
	removed := 0
	for range keys {
		if err := <-done; err == nil {
			removed++
		} else if !errors.Is(err, act.ErrLastWayIn) {
			t.Error(err)
		}
	}
	if removed != 1 {
		t.Errorf("%d of %d were removed", removed, len(keys))
	}
}

// An account has so many passkeys, and no more.
func TestPasskeysAreLimited(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	for i := range passkey.Max {
		alice.add(fmt.Sprint("key ", i), nil)
	}
	k := passkeytest.New(t, h.tenant.PublicURL)
	h.is("one more", h.AddPasskey(t.Context(), h.tenant, alice.owner(true), act.Proof{}, "more", k.Make(t, alice.newOptions())), passkey.ErrTooMany)
}

// A passkey proves the owner for ten minutes, in the browser where it answered.
func TestProofLasts(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	k := alice.add("key", nil)
	d, _, err := h.SignInDevice(t.Context(), h.tenant, alice.visitor(), alice.browser, act.Credentials{Identifier: "alice.test", Password: password}, device.Stay{Remember: true})
	if err != nil {
		t.Fatal(err)
	}
	keep := func(d *device.Device) {
		if d != nil && d.Keep != nil {
			alice.browser.Presented = *d.Keep
		}
	}
	keep(d)
	signedIn := func() device.SignedIn {
		t.Helper()
		look := must(t, first(h.SeeDevice(t.Context(), h.tenant, alice.browser)), nil)
		keep(look.Device)
		if len(look.Accounts) != 1 {
			t.Fatalf("%d accounts are signed in", len(look.Accounts))
		}
		return look.Accounts[0]
	}
	h.seconds.Add(int64(device.ProofLife / time.Second))
	if s := signedIn(); s.ProvenLately(h.now()) {
		t.Error("the sign-in counts as a proof for longer than ten minutes")
	}
	_, err = h.Prove(t.Context(), h.tenant, alice.owner(false), alice.browser, signedIn(), act.Proof{Password: "another"})
	h.is("a wrong password", err, act.ErrPassword)
	options := must(t, first(h.AskProof(t.Context(), h.tenant, alice.owner(false))), nil)
	d, err = h.Prove(t.Context(), h.tenant, alice.owner(true), alice.browser, signedIn(), act.Proof{Passkey: k.Answer(t, options)})
	h.is("a passkey", err, nil)
	keep(d)
	if s := signedIn(); !s.ProvenLately(h.now()) {
		t.Error("the proof does not count")
	}
	h.seconds.Add(int64(device.ProofLife/time.Second) - 1)
	if s := signedIn(); !s.ProvenLately(h.now()) {
		t.Error("the proof counts for less than ten minutes")
	}
	h.seconds.Add(1)
	if s := signedIn(); s.ProvenLately(h.now()) {
		t.Error("the proof counts for longer than ten minutes")
	}
}
