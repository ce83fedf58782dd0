package endpoint_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// How long everything is good for.
func TestLives(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	const day = 24 * time.Hour

	// A request: five minutes from the last visit.
	v := verifier()
	uri := a.push(v, nil)
	for range 3 {
		h.clock.add(4 * time.Minute)
		if _, _, err := h.acts.OpenAuthorization(t.Context(), h.a, alice.Visitor, a.id, uri); err != nil {
			t.Fatal(err)
		}
	}
	a.redeem(a.yes(alice, uri), v).ok()
	uri = a.push(verifier(), nil)
	h.clock.add(5 * time.Minute)
	if _, _, err := h.acts.OpenAuthorization(t.Context(), h.a, alice.Visitor, a.id, uri); !errors.Is(err, oauth.ErrRequest) {
		t.Error(err)
	}

	// A code: a minute.
	code, v := a.code(alice)
	h.clock.add(time.Minute)
	a.redeem(code, v).is(400, "invalid_grant")

	// A client without keys: two weeks, whatever it does. The last access token ends with them.
	tokens := a.signIn(alice)
	for range 13 {
		h.clock.add(day)
		tokens = a.refresh(tokens.str("refresh_token")).ok()
	}
	h.clock.add(day - 5*time.Minute)
	tokens = a.refresh(tokens.str("refresh_token")).ok()
	if tokens.body["expires_in"] != 300.0 {
		t.Error(tokens.body)
	}
	h.clock.add(5 * time.Minute)
	a.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")

	// One with keys: two years, if it comes back within three months.
	c := h.confidentialApp(h.a)
	tokens = c.signIn(alice)
	for range 8 {
		h.clock.add(89 * day)
		tokens = c.refresh(tokens.str("refresh_token")).ok()
	}
	h.clock.add(18 * day)
	c.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
	tokens = c.signIn(alice)
	h.clock.add(90 * day)
	c.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
}

// A session of a client with keys goes on with the key that it began with, and only with it.
func TestConfidential(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.a, "alice")
	a := h.confidentialApp(h.a)
	tokens := a.signIn(alice)
	tokens = a.refresh(tokens.str("refresh_token")).ok()

	// Without credentials, or with bad ones, nothing is known of who asks: the session stays.
	bare := *a
	bare.secret = nil
	bare.refresh(tokens.str("refresh_token")).is(400, "invalid_client")
	unknown := *a
	unknown.secret = oauthtest.NewKey(t, "ES256")
	unknown.refresh(tokens.str("refresh_token")).is(400, "invalid_client")
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.str("refresh_token")}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	for name, change := range map[string]func(header, claims map[string]any){
		"issuer":   func(_, c map[string]any) { c["iss"] = "https://elsewhere.example.com/x" },
		"audience": func(_, c map[string]any) { c["aud"] = h.b.PublicURL },
		"no kid":   func(hd, _ map[string]any) { delete(hd, "kid") },
		"old":      func(_, c map[string]any) { c["iat"] = h.clock.Now().Add(-2 * time.Minute).Unix() },
		"no jti":   func(_, c map[string]any) { delete(c, "jti") },
		"another DPoP key": func(_, c map[string]any) {
			c["cnf"] = map[string]any{"jkt": oauthtest.NewKey(t, "ES256").Thumbprint}
		},
	} {
		form.Set("client_assertion", a.secret.Assert(t, a.id, h.a.PublicURL, h.clock.Now(), change))
		if g := a.post("/oauth/token", form); g.status != 400 || g.str("error") != "invalid_client" {
			t.Errorf("%s: %d %v", name, g.status, g.body)
		}
	}
	own := *a // its proofs and its assertions with one key
	own.key = a.secret
	own.refresh(tokens.str("refresh_token")).is(400, "invalid_client")
	once := a.secret.Assert(t, a.id, h.a.PublicURL, h.clock.Now(), nil)
	form.Set("client_assertion", once)
	tokens = a.post("/oauth/token", form).ok()
	form.Set("refresh_token", tokens.str("refresh_token"))
	a.post("/oauth/token", form).is(400, "invalid_client") // once only

	// A client's host that is down takes nothing away.
	h.clock.add(20 * time.Minute)
	h.down.Store(true)
	if g := a.refresh(tokens.str("refresh_token")).is(503, "temporarily_unavailable"); g.header.Get("Retry-After") == "" {
		t.Error(g.header)
	}
	h.down.Store(false)
	h.clock.add(time.Minute)
	tokens = a.refresh(tokens.str("refresh_token")).ok()

	// Another key of the same client: not the one that the session is bound to.
	second := oauthtest.NewKey(t, "ES256")
	h.publish(a.keysPath(), map[string]any{"keys": []json.RawMessage{a.secret.JWK, second.JWK}})
	h.clock.add(11 * time.Minute)
	first := a.secret
	changed := *a
	changed.secret = second
	changed.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
	if n := h.sessions(h.a, alice); n != 0 {
		t.Errorf("another key: %d sessions", n)
	}

	// The key is withdrawn: whoever has it now is not the client.
	tokens = a.signIn(alice)
	h.publish("/keys-"+first.ID, map[string]any{"keys": []json.RawMessage{second.JWK}})
	h.clock.add(11 * time.Minute)
	a.refresh(tokens.str("refresh_token")).is(400, "invalid_client") // it cannot even show itself
	changed.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
	if n := h.sessions(h.a, alice); n != 0 {
		t.Errorf("withdrawn key: %d sessions", n)
	}
}

// A public client whose host is down goes on for a day.
func TestClientHostDown(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	tokens := a.signIn(alice)
	h.down.Store(true)
	h.clock.add(23 * time.Hour)
	tokens = a.refresh(tokens.str("refresh_token")).ok()
	a.post("/oauth/par", a.asks(verifier(), nil)).is(503, "temporarily_unavailable")
	h.clock.add(2 * time.Hour)
	a.refresh(tokens.str("refresh_token")).is(503, "temporarily_unavailable")
	h.down.Store(false)
	h.clock.add(time.Minute)
	a.refresh(tokens.str("refresh_token")).ok()
}

// What ends an account's sessions ends its apps', and a code that is on its way.
func TestEnds(t *testing.T) {
	h := newHouse(t)
	byOperator := act.Operator{}
	for name, c := range map[string]struct {
		end  func(who act.Owner) error
		back func(who act.Owner) error // so that nothing but the session is missing
	}{
		"password": {end: func(who act.Owner) error {
			return h.acts.SetPassword(t.Context(), h.a, byOperator, who.DID, "another-good-password")
		}},
		"takedown": {
			func(who act.Owner) error {
				return h.acts.SetAccountStatus(t.Context(), h.a, byOperator, who.DID, &act.Mark{Applied: true}, nil)
			},
			func(who act.Owner) error {
				return h.acts.SetAccountStatus(t.Context(), h.a, byOperator, who.DID, &act.Mark{}, nil)
			},
		},
		"deactivation": {
			func(who act.Owner) error { return h.acts.Deactivate(t.Context(), h.a, who, nil) },
			func(who act.Owner) error {
				return h.acts.SetAccountStatus(t.Context(), h.a, byOperator, who.DID, nil, &act.Mark{})
			},
		},
		"deletion": {end: func(who act.Owner) error { return h.acts.DeleteAccount(t.Context(), h.a, byOperator, who.DID) }},
		"everything": {end: func(who act.Owner) error {
			_, err := h.acts.EndApps(t.Context(), h.a, who)
			return err
		}},
	} {
		who, a := h.person(h.a, "owner-"+name[:4]), h.publicApp(h.a)
		tokens := a.signIn(who)
		code, v := a.code(who)
		key := a.signInOnBrowser(who)
		if err := c.end(who); err != nil {
			t.Fatal(name, err)
		}
		if c.back != nil {
			if err := c.back(who); err != nil {
				t.Fatal(name, err)
			}
		}
		a.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
		if name == "everything" {
			continue // what somebody says yes to at this moment is new
		}
		a.redeem(code, v).is(400, "invalid_grant")
		if n := h.sessions(h.a, who); n != 0 {
			t.Errorf("%s: %d sessions", name, n)
		}
		if name == "deactivation" {
			continue // browsers stay signed in: that is where the account comes back
		}
		// Who signed in before does not grant afterwards.
		if _, err := h.acts.GrantAuthorization(t.Context(), h.a, who, key, a.id, a.push(verifier(), nil), h.scopes(a)); !errors.Is(err, account.ErrCredentials) {
			t.Error(name, err)
		}
	}
}

// An operator ends one app of an account, or all of them.
func TestDisconnect(t *testing.T) {
	h := newHouse(t)
	alice, a, other := h.person(h.a, "alice"), h.publicApp(h.a), h.publicApp(h.a)
	one, two, third := a.signIn(alice), a.signIn(alice), other.signIn(alice)
	who, err := account.ByDID(t.Context(), h.db.Tenant(h.a.Schema).Q(), alice.DID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.acts.DisconnectApps(t.Context(), h.a, act.Operator{}, who, "https://app.example.com/x"); !errors.Is(err, act.ErrNoApp) {
		t.Error(err)
	}
	if n, err := h.acts.DisconnectApps(t.Context(), h.a, act.Operator{}, who, a.id); n != 2 || err != nil {
		t.Error(n, err)
	}
	a.refresh(one.str("refresh_token")).is(400, "invalid_grant")
	a.refresh(two.str("refresh_token")).is(400, "invalid_grant")
	if _, ok, err := h.acts.ConsentOf(t.Context(), h.a, alice.AID, a.id); ok || err != nil {
		t.Error("what was granted is remembered:", err)
	}
	third = other.refresh(third.str("refresh_token")).ok()
	if n, err := h.acts.DisconnectApps(t.Context(), h.a, act.Operator{}, who, ""); n != 1 || err != nil {
		t.Error(n, err)
	}
	other.refresh(third.str("refresh_token")).is(400, "invalid_grant")
}

// A request belongs to the browser that acts on it first. A second one ends it; one that only looks does not.
func TestTwoBrowsers(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	uri := a.push(verifier(), nil)
	one, two := device.Key(device.NewSecret()), device.Key(device.NewSecret())
	for range 2 {
		if _, _, err := h.acts.OpenAuthorization(t.Context(), h.a, alice.Visitor, a.id, uri); err != nil {
			t.Fatal(err)
		}
		if _, err := h.acts.HoldAuthorization(t.Context(), h.a, one, a.id, uri); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.acts.HoldAuthorization(t.Context(), h.a, two, a.id, uri); !errors.Is(err, oauth.ErrDevice) {
		t.Error(err)
	}
	if _, err := h.acts.HoldAuthorization(t.Context(), h.a, one, a.id, uri); !errors.Is(err, oauth.ErrRequest) {
		t.Error(err)
	}
}

// What was granted is what was both asked for and said yes to, and that is what is remembered.
func TestGrantedScope(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	a.scope = "atproto repo:com.example.note"
	v := verifier()
	uri := a.push(v, nil)
	back, err := h.acts.GrantAuthorization(t.Context(), h.a, alice, a.signInOnBrowser(alice), a.id, uri, scope.Parse("atproto transition:generic"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back.URL())
	if err != nil {
		t.Fatal(err)
	}
	if g := a.redeem(u.Query().Get("code"), v).ok(); g.str("scope") != "atproto" {
		t.Error(g.body)
	}
	consent, ok, err := h.acts.ConsentOf(t.Context(), h.a, alice.AID, a.id)
	if err != nil || !ok || consent.String() != "atproto" {
		t.Error(consent, ok, err)
	}
	// No means no, with a reason for the client.
	uri = a.push(verifier(), nil)
	back, err = h.acts.DenyAuthorization(t.Context(), h.a, a.signInOnBrowser(alice), a.id, uri, oauth.AccessDenied, "nobody wanted it")
	if err != nil || !strings.Contains(back.URL(), "error=access_denied") || !strings.Contains(back.URL(), "state=a+state") || !strings.Contains(back.URL(), "iss=") {
		t.Error(back, err)
	}
	if _, _, err := h.acts.OpenAuthorization(t.Context(), h.a, alice.Visitor, a.id, uri); !errors.Is(err, oauth.ErrRequest) {
		t.Error(err)
	}
}

// The answer to COMMIT is lost: what happened is found out, or the client asks again and loses nothing.
func TestUnknownOutcome(t *testing.T) {
	p := dbtest.NewProxy(t, dbtest.URL(t))
	h := newHouseOn(t, p.URL())
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	// Whether what happened is durable is asked so often in vain: the connection breaks again. Each time is two requests,
	// because every statement that only reads is repeated once.
	vain := 0
	lose := func(call func() got) got {
		t.Helper()
		before := p.Disarm()
		p.CutAfterText(append([]string{"commit"}, slices.Repeat([]string{"pg_logical_emit_message"}, 2*vain)...)...)
		g := call()
		if n := p.Disarm() - before; n != int64(1+2*vain) {
			t.Errorf("%d answers were lost", n)
		}
		return g
	}
	for vain = range 3 { // the first prepares statements, later ones do not
		v := verifier()
		form := a.asks(v, nil)
		nonce := a.nonce()
		uri := lose(func() got { return a.post("/oauth/par", form, proofOf(nonce)) }).ok().str("request_uri")
		code := a.yes(alice, uri)
		tokens := lose(func() got { return a.post("/oauth/token", a.redeemForm(code, v), proofOf(nonce)) }).ok()
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.str("refresh_token")}}
		next := lose(func() got { return a.post("/oauth/token", refresh, proofOf(nonce)) }).ok()
		if again := a.refresh(tokens.str("refresh_token")).ok(); again.str("refresh_token") != next.str("refresh_token") {
			t.Error("another successor")
		}
		a.refresh(next.str("refresh_token")).ok()
	}
	// It did not happen, or nobody can find out: the client hears that it passes, and nothing is lost.
	tokens := a.signIn(alice)
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.str("refresh_token")}}
	nonce := a.nonce()
	p.Down(true)
	a.post("/oauth/token", refresh, proofOf(nonce)).is(503, "temporarily_unavailable")
	p.Down(false)
	a.refresh(tokens.str("refresh_token")).ok()
}
