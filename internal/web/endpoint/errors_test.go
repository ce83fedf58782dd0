package endpoint_test

import (
	"bytes"
	"compress/gzip"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

const formType = "application/x-www-form-urlencoded"

// What is no request at all.
func TestBodies(t *testing.T) {
	h := newHouse(t)
	big := "a=" + strings.Repeat("b", 100<<10)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(big)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, body, coding string
		status             int
	}{
		"no type":           {"", "client_id=x", "", 415},
		"another type":      {"text/plain", "client_id=x", "", 415},
		"another charset":   {formType + "; charset=latin1", "client_id=x", "", 415},
		"unknown coding":    {formType, "client_id=x", "lzw", 415},
		"too large":         {formType, big, "", 413},
		"too large, zipped": {formType, zipped.String(), "gzip", 413},
		"not zipped":        {formType, "client_id=x", "gzip", 400},
		"not UTF-8":         {formType, "client_id=\xff", "", 400},
		"escaped not UTF-8": {formType, "client_id=%ff", "", 400},
		"bad escape":        {formType, "client_id=%zz", "", 400},
		"twice":             {formType, "client_id=x&client_id=x", "", 400},
		"too many":          {formType, strings.Repeat("a&", 100), "", 400},
		"a list":            {"application/json", `["client_id"]`, "", 400},
		"twice in JSON":     {"application/json", `{"client_id":"a","client_id":"a"}`, "", 400},
		"a number":          {"application/json", `{"client_id":5}`, "", 400},
		"empty":             {formType, "", "", 400},
	} {
		for _, path := range []string{"/oauth/par", "/oauth/token", "/oauth/revoke"} {
			header := map[string]string{}
			if c.coding != "" {
				header["Content-Encoding"] = c.coding
			}
			if g := h.send("POST", hostA, path, c.kind, c.body, header); g.status != c.status || g.str("error") != "invalid_request" || g.str("error_description") == "" || g.header.Get("DPoP-Nonce") == "" {
				t.Errorf("%s %s: %d %v", path, name, g.status, g.body)
			}
		}
	}
	for _, path := range []string{"/oauth/par", "/oauth/token", "/oauth/revoke"} {
		for _, verb := range []string{"GET", "PUT", "DELETE"} {
			if g := h.send(verb, hostA, path, "", "", nil).is(405, "invalid_request"); g.header.Get("Allow") == "" {
				t.Error(path, g.header)
			}
		}
	}
	if n := h.fetched.Load(); n != 0 {
		t.Errorf("%d documents were fetched for nothing", n)
	}
}

// What a client may not ask for.
func TestPushErrors(t *testing.T) {
	h := newHouse(t)
	a := h.publicApp(h.a)
	for name, c := range map[string]struct {
		with  url.Values
		error string
	}{
		"no client":           {url.Values{"client_id": {""}}, "invalid_request"},
		"client is no URL":    {url.Values{"client_id": {"my-app"}}, "invalid_client_id"},
		"client by http":      {url.Values{"client_id": {"http://app.example.com/x"}}, "invalid_client_id"},
		"client without path": {url.Values{"client_id": {"https://app.example.com/"}}, "invalid_client_id"},
		"no document":         {url.Values{"client_id": {h.clients.URL + "/nothing.json"}}, "invalid_client_metadata"},
		"response type":       {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		"no response type":    {url.Values{"response_type": {""}}, "unsupported_response_type"},
		"redirect":            {url.Values{"redirect_uri": {"https://elsewhere.example.com/"}}, "invalid_redirect_uri"},
		"no scope":            {url.Values{"scope": {""}}, "invalid_scope"},
		"without atproto":     {url.Values{"scope": {"transition:generic"}}, "invalid_scope"},
		"openid":              {url.Values{"scope": {"atproto openid"}}, "invalid_scope"},
		"undeclared":          {url.Values{"scope": {"atproto transition:email"}}, "invalid_scope"},
		"scope twice":         {url.Values{"scope": {"atproto atproto"}}, "invalid_scope"},
		"no challenge":        {url.Values{"code_challenge": {""}}, "invalid_request"},
		"short challenge":     {url.Values{"code_challenge": {"abc"}}, "invalid_request"},
		"plain challenge":     {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"no method":           {url.Values{"code_challenge_method": {""}}, "invalid_request"},
		"prompt":              {url.Values{"prompt": {"please"}}, "invalid_request"},
		"display":             {url.Values{"display": {"huge"}}, "invalid_request"},
		"response mode":       {url.Values{"response_mode": {"web_message"}}, "invalid_request"},
		"login hint":          {url.Values{"login_hint": {"alice at home"}}, "invalid_request"},
		"nonce":               {url.Values{"nonce": {"x"}}, "invalid_request"},
		"claims":              {url.Values{"claims": {"{}"}}, "invalid_request"},
		"id_token_hint":       {url.Values{"id_token_hint": {"x"}}, "invalid_request"},
		"details":             {url.Values{"authorization_details": {"[]"}}, "invalid_request"},
		"request_uri":         {url.Values{"request_uri": {"urn:x"}}, "invalid_request"},
		"another key":         {url.Values{"dpop_jkt": {oauthtest.NewKey(t, "ES256").Thumbprint}}, "invalid_request"},
		"assertion":           {url.Values{"client_assertion": {"x"}, "client_assertion_type": {"y"}}, "invalid_client"},
		"permission set":      {url.Values{"scope": {"atproto include:com.example.nothing"}}, "invalid_scope"},
	} {
		g := a.post("/oauth/par", a.asks(verifier(), c.with))
		if g.status != 400 || g.str("error") != c.error || g.str("error_description") == "" {
			t.Errorf("%s: %d %v", name, g.status, g.body)
		}
	}
	// Without a proof: the key is bound when the code is redeemed.
	if g := a.raw("/oauth/par", a.asks(verifier(), nil), nil); g.status != 201 {
		t.Error(g)
	}
	// The only redirect may be left out; what is declared and nobody understands is left out, too.
	a.post("/oauth/par", a.asks(verifier(), url.Values{"redirect_uri": {""}, "state": {""}})).ok()
	// Programs try which scopes are taken: one challenge may stand in many requests (but see TestCodeErrors).
	v := verifier()
	a.push(v, nil)
	a.push(v, nil)
}

// An app that the operator does not want.
func TestForbiddenClient(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	tokens := a.signIn(alice)
	var err error
	if h.a, err = h.tenants.Set(t.Context(), hostA, map[string]string{"oauth_forbidden_hosts": "evil.example.com,127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	a.post("/oauth/par", a.asks(verifier(), nil)).is(400, "invalid_client")
	a.refresh(tokens.str("refresh_token")).is(400, "invalid_client")
	other := *a
	other.at = h.b
	other.push(verifier(), nil) // the other tenant thinks otherwise
}

// What does not redeem a code. Each try has a code of its own.
func TestCodeErrors(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	another := h.publicApp(h.a)
	for name, c := range map[string]struct {
		with   url.Values
		error  string
		burned bool // it could be evidence, so nobody gets a second try
	}{
		"no grant type":       {url.Values{"grant_type": {""}}, "invalid_request", false},
		"grant type":          {url.Values{"grant_type": {"password"}}, "unsupported_grant_type", false},
		"no code":             {url.Values{"code": {""}}, "invalid_request", false},
		"unknown code":        {url.Values{"code": {"cod-nobody"}}, "invalid_grant", false},
		"no verifier":         {url.Values{"code_verifier": {""}}, "invalid_request", false},
		"another client":      {url.Values{"client_id": {another.id}}, "invalid_grant", true},
		"another redirect":    {url.Values{"redirect_uri": {a.redirect + "/x"}}, "invalid_grant", true},
		"no redirect":         {url.Values{"redirect_uri": {""}}, "invalid_grant", true},
		"another verifier":    {url.Values{"code_verifier": {verifier()}}, "invalid_grant", true},
		"short verifier":      {url.Values{"code_verifier": {"abc"}}, "invalid_grant", true},
		"verifier's alphabet": {url.Values{"code_verifier": {strings.Repeat("a b", 20)}}, "invalid_grant", true},
	} {
		code, v := a.code(alice)
		form := a.redeemForm(code, v)
		maps.Copy(form, c.with)
		g := a.post("/oauth/token", form)
		if g.status != 400 || g.str("error") != c.error || g.str("error_description") == "" {
			t.Errorf("%s: %d %v", name, g.status, g.body)
		}
		if again := a.redeem(code, v); (again.status == 200) == c.burned {
			t.Errorf("%s: afterwards %d %v", name, again.status, again.body)
		}
	}
	// Bound by the push to another key than the one that redeems it.
	code, v := a.code(alice)
	a.with(oauthtest.NewKey(t, "ES256")).redeem(code, v).is(400, "invalid_grant")
	// dpop_jkt binds a request that came without a proof.
	v = verifier()
	uri := a.raw("/oauth/par", a.asks(v, url.Values{"dpop_jkt": {a.key.Thumbprint}}), nil).ok().str("request_uri")
	a.with(oauthtest.NewKey(t, "ES256")).redeem(a.yes(alice, uri), v).is(400, "invalid_grant")
	// One challenge serves one code.
	v = verifier()
	one, two := a.yes(alice, a.push(v, nil)), a.yes(alice, a.push(v, nil))
	a.redeem(one, v).ok()
	a.redeem(two, v).is(400, "invalid_grant")
}

// A proof that is none. What is wrong with it burns nothing: the code is good afterwards.
func TestProofErrors(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	code, v := a.code(alice)
	form := a.redeemForm(code, v)
	fetched := h.fetched.Load()

	g := a.raw("/oauth/token", form, nil).is(401, "invalid_dpop_proof")
	if auth := g.header.Get("WWW-Authenticate"); !strings.HasPrefix(auth, `DPoP algs="ES256 `) || !strings.Contains(auth, `error="invalid_dpop_proof"`) || !strings.Contains(auth, `error_description="`) {
		t.Error(auth)
	}
	set := func(where string, name string, value any) func(header, claims map[string]any) {
		return func(header, claims map[string]any) {
			if where == "header" {
				header[name] = value
			} else {
				claims[name] = value
			}
		}
	}
	for name, p := range map[string]oauthtest.Proof{
		"another verb":  {Method: "GET"},
		"another path":  {URL: h.a.PublicURL + "/oauth/par"},
		"another host":  {URL: h.b.PublicURL + "/oauth/token"},
		"old":           {At: h.clock.Now().Add(-4 * time.Minute)},
		"of the future": {At: h.clock.Now().Add(4 * time.Minute)},
		"names a token": {Token: "some token"},
		"no typ":        {Change: set("header", "typ", "jwt")},
		"no jti":        {Change: set("claims", "jti", "")},
		"long jti":      {Change: set("claims", "jti", strings.Repeat("a", 1000))},
		"another's key": {Change: set("header", "jwk", oauthtest.NewKey(t, "ES256").JWK)},
		"credentials":   {URL: "https://me@" + hostA + "/oauth/token"},
	} {
		if g := a.post("/oauth/token", form, p); g.status != 401 || g.str("error") != "invalid_dpop_proof" || g.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %v", name, g.status, g.body)
		}
	}
	for _, nonce := range []string{"made-up", " "} {
		if g := a.post("/oauth/token", form, proofOf(nonce)).is(400, "use_dpop_nonce"); g.header.Get("DPoP-Nonce") == "" {
			t.Error(g.header)
		}
	}
	if n := h.fetched.Load(); n != fetched {
		t.Errorf("%d documents were fetched before the proof was seen", n-fetched)
	}
	// The proof that was refused for its nonce only may come again with the same jti.
	p := oauthtest.Proof{JTI: "the same", Nonce: "made-up"}
	a.post("/oauth/token", form, p).is(400, "use_dpop_nonce")
	p.Nonce = ""
	a.post("/oauth/token", form, p).ok()
	a.post("/oauth/token", form, p).is(401, "invalid_dpop_proof")
	// Old clients send the query in htu, and others a port that says nothing.
	code, v = a.code(alice)
	a.post("/oauth/token", a.redeemForm(code, v), oauthtest.Proof{URL: "https://" + hostA + ":443/oauth/token?x=y#z"}).ok()
}

// Every algorithm that is promised.
func TestAlgorithms(t *testing.T) {
	h := newHouse(t)
	alice, a := h.person(h.a, "alice"), h.publicApp(h.a)
	for _, alg := range []string{"ES256", "ES384", "ES512", "ES256K", "PS256", "RS256"} {
		b := a.with(oauthtest.NewKey(t, alg))
		b.refresh(b.signIn(alice).str("refresh_token")).ok()
	}
}

// One address may not ask without end; another is not kept from asking.
func TestLimits(t *testing.T) {
	h := newHouse(t)
	if _, err := h.tenants.Set(t.Context(), hostA, map[string]string{"rate_limits": "on", "rate_limit_percent": "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tenants.Set(t.Context(), hostB, map[string]string{"rate_limits": "on"}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/oauth/par", "/oauth/token", "/oauth/revoke"} {
		for i := range 30 {
			if g := h.send("POST", hostA, path, formType, "", nil); g.status != 400 || g.header.Get("RateLimit-Limit") != "30" {
				t.Fatal(path, i, g.status, g.header)
			}
		}
		if g := h.send("POST", hostA, path, formType, "", nil).is(429, "temporarily_unavailable"); g.header.Get("Retry-After") == "" || g.header.Get("RateLimit-Remaining") != "0" {
			t.Error(path, g.header)
		}
		h.send("POST", hostB, path, formType, "", nil).is(400, "invalid_request")
	}
	if v := h.limits.Look(h.a.Schema, "127.0.0.1", 1, 1, limit.Bucket{Name: "oauth/par", Points: 3000, Window: 5 * time.Minute}); !v.Refused {
		t.Error(v)
	}
	h.send("GET", hostA, "/.well-known/oauth-authorization-server", "", "", nil).ok()
	h.clock.add(10 * time.Minute)
	h.send("POST", hostA, "/oauth/par", formType, "", nil).is(400, "invalid_request")
}
