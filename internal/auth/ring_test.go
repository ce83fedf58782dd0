package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// replaceable are all secrets that tokens are signed with.
var replaceable = []tenant.Replaceable{
	{Purpose: tenant.SecretJWT, Life: auth.RefreshLife}, {Purpose: tenant.SecretDPoP, Life: 90 * 24 * time.Hour}, {Purpose: keyring.PurposeOAuth, Life: oauth.AccessLife},
}

func (h *house) replace(t testing.TB, atOnce bool) {
	t.Helper()
	from, err := h.tenants.ReplaceSecrets(t.Context(), h.a.Hostname, replaceable, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	if wait := from.Sub(h.clock.Now()); wait < 10*time.Second || wait > 20*time.Second {
		t.Errorf("they sign in %s", wait)
	}
	if h.a, err = h.tenants.Get(t.Context(), h.a.Hostname); err != nil {
		t.Fatal(err)
	}
}

// TestReplacedSecrets: tokens, proofs and refresh tokens from before are taken by each process, from all secrets that are good,
// and by none after their time; new ones are signed with the new secret once every process knows it.
func TestReplacedSecrets(t *testing.T) {
	h := newHouse(t)
	other := h.process()
	ctx := t.Context()
	aid := h.actor(t, h.a, did)
	app := h.app(t, h.a, aid, did, "atproto")
	taken := func(when string, pair auth.Pair, want error) {
		t.Helper()
		for name, s := range map[string]*auth.Sessions{"here": h.sessions, "elsewhere": other} {
			if _, err := s.Account(ctx, h.a, "Bearer "+pair.Access, auth.Proof{}, auth.Std); !errors.Is(err, want) {
				t.Errorf("%s, %s: %v", when, name, err)
			}
			if _, err := s.Refresh(ctx, h.a, "Bearer "+pair.Refresh, false); !errors.Is(err, want) {
				t.Errorf("refresh %s, %s: %v", when, name, err)
			}
		}
	}
	byApp := func(when string, p auth.Proof, want error) {
		t.Helper()
		if _, err := app.call(other, p); !errors.Is(err, want) {
			t.Errorf("OAuth %s: %v", when, err)
		}
	}
	parses := func(token string) bool {
		o, err := other.OAuth(ctx, h.a)
		if err != nil {
			t.Fatal(err)
		}
		_, _, ok := oauth.ParseRefreshToken(o.Tokens, token)
		return ok
	}
	kids := func() int {
		var set []struct{ Kid, D string }
		text, _ := json.Marshal(app.withTenant(h.a).secrets().JWKs())
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, k := range set {
			if k.D != "" {
				t.Error("a private key among the public ones")
			}
			seen[k.Kid] = true
		}
		return len(seen)
	}
	first, row := h.session(t, h.a, aid, did, auth.ScopeAccess)
	proof := app.proof(nil)
	oauthRefresh := oauth.RefreshToken(app.secrets().Tokens, app.session.ID, 1)
	taken("before", first, nil)
	byApp("before", app.proof(nil), nil)

	h.replace(t, false)
	app.x = h.a
	if n := kids(); n != 2 {
		t.Errorf("%d public keys", n)
	}
	waiting := h.mint(t, h.a, did, auth.ScopeAccess, row)
	if waiting != first { // of the same moment
		t.Error("the new secret signs before all processes know it")
	}
	taken("while it waits", waiting, nil)
	byApp("with a proof of before", proof, nil)
	if _, err := h.tenants.ReplaceSecrets(ctx, h.a.Hostname, replaceable, false); !errors.Is(err, tenant.ErrReplacing) {
		t.Errorf("again at once: %v", err)
	}
	nonce := app.sessions.Nonce(ctx, h.a)[0]

	h.clock.add(16 * time.Second)
	if again := app.sessions.Nonce(ctx, h.a)[0]; again == nonce {
		t.Error("nonces are still the old secret's")
	}
	second := h.mint(t, h.a, did, auth.ScopeAccess, row)
	if second.Refresh == waiting.Refresh || second.Access == waiting.Access {
		t.Error("the old secret signs")
	}
	taken("new", second, nil)
	taken("of before", first, nil)
	byApp("with a nonce of before", app.proof(func(p *oauthtest.Proof) { p.Nonce = nonce }), nil)
	if !parses(oauthRefresh) {
		t.Error("a refresh token of before is refused")
	}
	if fresh := oauth.RefreshToken(app.secrets().Tokens, app.session.ID, 1); fresh == oauthRefresh || !parses(fresh) {
		t.Error("refresh tokens are not signed with the new secret")
	}
	h.clock.add(oauth.AccessLife)
	if n := kids(); n != 1 {
		t.Errorf("%d public keys when nothing of the first is good any more", n)
	}
	if set := app.secrets(); set == nil || parses(oauthRefresh) != true {
		t.Error("the refresh token lives longer than the key of access tokens")
	}

	h.replace(t, true)
	app.x = h.a
	h.clock.add(14 * time.Second)
	taken("until all processes know", second, nil)
	h.clock.add(2 * time.Second)
	taken("after all were ended", first, auth.ErrUnverified)
	taken("after all were ended", second, auth.ErrUnverified)
	if parses(oauthRefresh) {
		t.Error("a refresh token is taken after all were ended")
	}
	byApp("after all were ended", app.proof(nil), auth.ErrOAuthToken)
	third := h.mint(t, h.a, did, auth.ScopeAccess, row)
	taken("made since", third, nil)
	app.token = app.mint(did)
	if _, err := app.call(other, app.proof(nil)); err != nil {
		t.Errorf("OAuth made since: %v", err)
	}
}

// withTenant is the app where the tenant is known as it is now.
func (a *app) withTenant(x *tenant.Tenant) *app { a.x = x; return a }

// TestManyReplaced: no more secrets are tried for a token than there may be, and those whose time is over make room.
func TestManyReplaced(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	for range tenant.MaxReplaced {
		h.replace(t, false)
		h.clock.add(time.Minute)
	}
	if _, err := h.tenants.ReplaceSecrets(ctx, h.a.Hostname, replaceable, false); !errors.Is(err, tenant.ErrManyReplaced) {
		t.Fatalf("one more: %v", err)
	}
	h.clock.add(auth.RefreshLife)
	h.replace(t, false)
	rows, err := tenant.SecretsOf(ctx, h.db.Tenant(h.a.Schema).Q(), tenant.SecretJWT, h.clock.Now())
	if err != nil || len(rows) != 2 {
		t.Errorf("%d secrets, %v", len(rows), err)
	}
	if n := fmt.Sprint(tenant.PurposeOf("jwt 17"), tenant.PurposeOf("jwt")); n != "jwtjwt" {
		t.Error(n)
	}
}
