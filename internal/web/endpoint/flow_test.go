package endpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// The whole way of a client without keys: it asks, a person says yes, it gets tokens, goes on, and leaves.
func TestFlow(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	v := verifier()
	pushed := a.post("/oauth/par", a.asks(v, nil)).ok()
	if pushed.status != http.StatusCreated || pushed.body["expires_in"] != 300.0 || !strings.HasPrefix(pushed.str("request_uri"), "urn:ietf:params:oauth:request_uri:req-") {
		t.Error(pushed)
	}
	first := a.redeem(a.yes(alice, pushed.str("request_uri")), v).ok()
	if first.str("token_type") != "DPoP" || first.str("sub") != alice.DID || first.body["expires_in"] != 900.0 || first.str("scope") != defaultScope || first.str("refresh_token") == "" {
		t.Error(first.body)
	}
	claims := h.claims(first.str("access_token"))
	for name, want := range map[string]any{
		"iss": "https://" + hostA, "sub": alice.DID, "aud": h.a.ServiceDID, "client_id": a.id, "iat": float64(h.clock.Now().Unix()),
		"exp": float64(h.clock.Now().Add(15 * time.Minute).Unix()), "cnf": map[string]any{"jkt": a.key.Thumbprint},
	} {
		if text, _ := json.Marshal(claims[name]); string(text) != mustJSON(t, want) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if claims["scope"] != nil {
		t.Error("the token says what it opens: that would outlive a change")
	}

	h.clock.add(time.Minute)
	second := a.refresh(first.str("refresh_token")).ok()
	if second.str("refresh_token") == first.str("refresh_token") || second.str("access_token") == first.str("access_token") || second.str("sub") != alice.DID {
		t.Error(second.body)
	}
	if h.claims(second.str("access_token"))["jti"] == claims["jti"] {
		t.Error("the access token before a refresh outlives it")
	}
	if n := h.sessions(h.a, alice); n != 1 {
		t.Errorf("%d sessions", n)
	}
	if left := a.revoke(second.str("refresh_token")); left.status != 200 || len(left.body) != 0 {
		t.Error(left)
	}
	if n := h.sessions(h.a, alice); n != 0 {
		t.Errorf("%d sessions", n)
	}
	a.refresh(second.str("refresh_token")).is(400, "invalid_grant")
	a.revoke(second.str("refresh_token")).ok() // twice is no error
}

// An access token ends its session as well as a refresh token does.
func TestRevokeByAccessToken(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	one := a.signIn(alice)
	a.revoke(one.str("access_token")).ok()
	a.refresh(one.str("refresh_token")).is(400, "invalid_grant")
	// Past its time, too: signing out must not depend on that.
	two := a.signIn(alice)
	h.clock.add(time.Hour)
	a.revoke(two.str("access_token")).ok()
	a.refresh(two.str("refresh_token")).is(400, "invalid_grant")
	for _, unknown := range []string{"ref-nobody", "a.b.c", "x"} {
		if g := a.revoke(unknown); g.status != 200 {
			t.Error(unknown, g)
		}
	}
}

// What each answer has, whether it is good or bad.
func TestHeaders(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	tokens := a.signIn(alice)
	for name, g := range map[string]got{
		"par":     a.post("/oauth/par", a.asks(verifier(), nil)),
		"bad par": a.post("/oauth/par", nil),
		"token":   a.refresh(tokens.str("refresh_token")),
		"no body": h.send("POST", hostA, "/oauth/token", "", "", nil),
		"verb":    h.send("PUT", hostA, "/oauth/par", "", "", nil),
		"revoke":  a.revoke("x"),
	} {
		if g.header.Get("Cache-Control") != "no-store" || g.header.Get("Pragma") != "no-cache" || g.header.Get("Content-Type") != "application/json" || g.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", name, g.header)
		}
		if nonce := g.header.Get("DPoP-Nonce"); (nonce == "") != (name == "verb") {
			t.Errorf("%s: nonce %q", name, nonce)
		}
	}
	g := h.send("POST", hostA, "/oauth/token", "", "", map[string]string{"Origin": "https://app.example.com"})
	if exposed := g.header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "DPoP-Nonce") || !strings.Contains(exposed, "WWW-Authenticate") {
		t.Error(exposed)
	}
	pre := h.send("OPTIONS", hostA, "/oauth/token", "", "", map[string]string{"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,dpop"})
	if pre.status/100 != 2 || pre.header.Get("Access-Control-Allow-Headers") != "content-type,dpop" || pre.header.Get("Access-Control-Max-Age") != "86400" || !strings.Contains(pre.header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Error(pre)
	}
	// A nonce is the same on all answers for a while, and another one later.
	one := a.nonce()
	h.clock.add(3 * time.Minute)
	if a.nonce() == one {
		t.Error("a nonce for ever")
	}
}

// The same parameters as JSON.
func TestJSONBodies(t *testing.T) {
	h := newHouse(t)
	a := h.publicApp(h.a)
	params := map[string]any{"client_id": a.id, "claims": nil}
	for name, v := range a.asks(verifier(), nil) {
		params[name] = v[0]
	}
	g := h.send("POST", hostA, "/oauth/par", "application/json; charset=UTF-8", mustJSON(t, params), nil).ok()
	if g.str("request_uri") == "" {
		t.Error(g)
	}
	params["claims"] = map[string]any{"id_token": nil}
	h.send("POST", hostA, "/oauth/par", "application/json", mustJSON(t, params), nil).is(400, "invalid_request")
}

// What clients read before anything else.
func TestMetadata(t *testing.T) {
	h := newHouse(t)
	for _, host := range []string{hostA, hostB} {
		origin := "https://" + host
		resource := h.send("GET", host, "/.well-known/oauth-protected-resource", "", "", nil).ok()
		server := h.send("GET", host, "/.well-known/oauth-authorization-server", "", "", nil).ok()
		for _, g := range []got{resource, server} {
			if g.status != 200 || g.header.Get("Content-Type") != "application/json" || g.header.Get("Access-Control-Allow-Origin") != "*" || g.header.Get("Cache-Control") != "public, max-age=300" {
				t.Error(g.status, g.header)
			}
		}
		if mustJSON(t, resource.body["authorization_servers"]) != `["`+origin+`"]` || resource.str("resource") != origin || mustJSON(t, resource.body["bearer_methods_supported"]) != `["header"]` {
			t.Error(resource.body)
		}
		if mustJSON(t, server.body["protected_resources"]) != `["`+origin+`"]` {
			t.Error(server.body)
		}
		for name, want := range map[string]any{
			"issuer": origin, "authorization_endpoint": origin + "/oauth/authorize", "token_endpoint": origin + "/oauth/token", "jwks_uri": origin + "/oauth/jwks",
			"revocation_endpoint": origin + "/oauth/revoke", "pushed_authorization_request_endpoint": origin + "/oauth/par",
			"scopes_supported": []string{"atproto", "transition:email", "transition:generic", "transition:chat.bsky"}, "response_types_supported": []string{"code"},
			"grant_types_supported": []string{"authorization_code", "refresh_token"}, "code_challenge_methods_supported": []string{"S256"},
			"token_endpoint_auth_methods_supported": []string{"none", "private_key_jwt"}, "ui_locales_supported": []string{"en", "de"},
			"authorization_response_iss_parameter_supported": true, "require_pushed_authorization_requests": true, "client_id_metadata_document_supported": true,
		} {
			if have := mustJSON(t, server.body[name]); have != mustJSON(t, want) {
				t.Errorf("%s: %s", name, have)
			}
		}
		for _, name := range []string{"token_endpoint_auth_signing_alg_values_supported", "dpop_signing_alg_values_supported"} {
			list := server.body[name].([]any)
			if !slices.Contains(list, any("ES256")) || slices.Contains(list, any("none")) {
				t.Error(name, list)
			}
		}
	}
	// Only under the tenant's own name.
	for host, status := range map[string]int{"alice.on-" + hostA: 404, "nobody.example.com": 421} {
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource", "/oauth/jwks"} {
			if g := h.send("GET", host, path, "", "", nil); g.status != status {
				t.Error(host, path, g.status)
			}
		}
		if g := h.send("POST", host, "/oauth/par", "", "", nil); g.status != status {
			t.Error(host, g.status)
		}
	}
}

// Each tenant signs with a key of its own, and shows the public part of it.
func TestKeys(t *testing.T) {
	h := newHouse(t)
	public := map[string]*jose.Key{}
	for _, host := range []string{hostA, hostB} {
		set := h.send("GET", host, "/oauth/jwks", "", "", nil).ok()
		keys, err := jose.ParseSet([]byte(mustJSON(t, set.body)))
		if err != nil || len(keys) != 1 || keys[0].Alg != "ES256" {
			t.Fatal(keys, err)
		}
		public[host] = keys[0]
	}
	if public[hostA].Thumbprint == public[hostB].Thumbprint {
		t.Error("two tenants with one key")
	}
	token, err := jose.Parse(h.publicApp(h.a).signIn(h.person(h.a, "alice")).str("access_token"))
	if err != nil || token.Header.Typ != "at+jwt" || token.Header.Kid != public[hostA].ID {
		t.Fatal(token, err)
	}
	if err := token.Verify(public[hostA]); err != nil {
		t.Error(err)
	}
	if token.Verify(public[hostB]) == nil {
		t.Error("the other tenant's key fits")
	}
}

// A tenant that is switched off: what clients remember of it stays true.
func TestSuspended(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	tokens := a.signIn(alice)
	if _, err := h.tenants.Suspend(t.Context(), h.a, ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/oauth/par", "/oauth/token", "/oauth/revoke"} {
		if g := a.raw(path, nil, nil).is(503, "temporarily_unavailable"); g.header.Get("Retry-After") == "" {
			t.Error(path, g.header)
		}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource", "/oauth/jwks"} {
		h.send("GET", hostA, path, "", "", nil).ok()
	}
	if _, err := h.tenants.Resume(t.Context(), h.a); err != nil {
		t.Fatal(err)
	}
	a.refresh(tokens.str("refresh_token")).ok()
}

// Nothing of one tenant means anything at the other.
func TestTenantsApart(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	bob := h.person(h.b, "bob")
	other := *a // the same client, at the other tenant
	other.at = h.b
	tokens := a.signIn(alice)
	code, v := a.code(alice)

	other.redeem(code, v).is(400, "invalid_grant")
	a.redeem(code, v).ok() // it is still good where it belongs
	other.refresh(tokens.str("refresh_token")).is(400, "invalid_grant")
	other.revoke(tokens.str("refresh_token")).ok()
	other.revoke(tokens.str("access_token")).ok()
	next := a.refresh(tokens.str("refresh_token")).ok()

	uri := a.push(verifier(), nil)
	if _, err := h.acts.GrantAuthorization(t.Context(), h.b, bob, other.signInOnBrowser(bob), a.id, uri, h.scopes(a)); err == nil {
		t.Error("a request of one tenant was granted at the other")
	}
	if _, _, err := h.acts.OpenAuthorization(t.Context(), h.b, bob.Visitor, a.id, uri); err == nil {
		t.Error("a request of one tenant was opened at the other")
	}
	// A nonce is of one tenant.
	foreign := proofOf(other.nonce())
	a.post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {next.str("refresh_token")}}, foreign).is(400, "use_dpop_nonce")
	// A proof names the tenant that it is for, whatever the nonce.
	wrong := proofOf(a.nonce())
	wrong.URL = h.b.PublicURL + "/oauth/token"
	a.post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {next.str("refresh_token")}}, wrong).is(401, "invalid_dpop_proof")
	a.refresh(next.str("refresh_token")).ok()
	secrets, err := h.acts.Sessions.OAuth(t.Context(), h.b)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := h.acts.Sessions.ParseOAuth(h.b, secrets, next.str("access_token")); err == nil || err != auth.ErrUnverified {
		t.Error("an access token of one tenant at the other:", err)
	}
}

// claims are those of a token, unchecked.
func (h *house) claims(token string) (out map[string]any) {
	h.t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		h.t.Fatal(token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &out) != nil {
		h.t.Fatal(token, err)
	}
	return out
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func proofOf(nonce string) (p oauthtest.Proof) { p.Nonce = nonce; return p }

func (h *house) scopes(a *app) scope.Set { return scope.Parse(a.scope) }
