package endpoint_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web/endpoint"
	"github.com/auroralocus/locus/internal/xrpc"
	"github.com/auroralocus/locus/repo/repodb"
)

const (
	hostA    = "a.test"
	hostB    = "b.test"
	password = "a-good-password"
)

// clock stands still until the test moves it.
type clock struct{ seconds atomic.Int64 }

func (c *clock) Now() time.Time {
	return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.seconds.Load()) * time.Second)
}

func (c *clock) add(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// house is the authorization server with two tenants, and a host with clients' documents. There are no pages: people say
// yes by the act.
type house struct {
	t       testing.TB
	db      *db.DB
	tenants *tenant.Registry
	actors  *account.Cache
	limits  *limit.Counter
	acts    *act.Acts
	clock   *clock
	http    *httptest.Server
	a, b    *tenant.Tenant

	clients *httptest.Server
	apps    atomic.Int64
	fetched atomic.Int64 // documents that were asked for
	down    atomic.Bool  // the clients' host does not answer
	mu      sync.Mutex
	docs    map[string]string // by path
}

func newHouse(t testing.TB) *house { return newHouseOn(t, dbtest.URL(t)) }

func newHouseOn(t testing.TB, dbURL string) *house {
	return another(t, dbURL, keyring.GenerateMaster(), nil)
}

// another is a server on a database. With first it is a second process of that one's deployment.
func another(t testing.TB, dbURL string, master *keyring.Master, first *house) *house {
	t.Helper()
	h := &house{t: t, clock: new(clock), docs: map[string]string{}}
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	keys, err := keyring.New(master, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.clients = httptest.NewTLSServer(http.HandlerFunc(h.document))
	t.Cleanup(h.clients.Close)
	h.db = dbtest.Open(t, dbURL)
	now := h.clock.Now
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "https", Port: 443, Dev: true}, now, log)
	directory := plcdir.New(h.db, now, false)
	documents := identity.NewResolver(identity.ResolverConfig{Now: now, PLC: directory})
	t.Cleanup(documents.Close)
	h.actors = account.NewCache(h.db, 0, now)
	hub := firehose.NewHub()
	repos := repodb.New(h.db, keys, now, log, repodb.Config{Hub: hub})
	t.Cleanup(repos.Close)
	h.limits = limit.New(h.db, now, log)
	sessions := auth.NewSessions(h.db, keys, h.actors, now)
	h.acts = act.New(act.Parts{
		DB: h.db, Tenants: h.tenants, Keys: keys, Sessions: sessions, Actors: h.actors, Directory: directory, Documents: documents,
		Passwords: account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}}, now),
		Repos:     repos, Outbox: outbox.New(h.db, keys, h.tenants, outbox.Config{}, now, log), Hub: hub, Limits: h.limits, Now: now, Log: log,
		Clients: client.NewStore(client.Config{HTTP: h.clients.Client(), Private: func(string) bool { return true }, Now: now}),
	})
	server := xrpc.New(xrpc.Config{Log: log, Now: now, ByHost: h.tenants.ByHost, Limits: h.limits, Tables: xrpc.Tables{Translations: []xrpc.Translation{
		xrpc.On(tenant.ErrUnknownHost, http.StatusMisdirectedRequest, "UnknownHost", "No server of this name is hosted here"),
		xrpc.On(tenant.ErrTenantSuspended, http.StatusServiceUnavailable, "HostSuspended", "This server is suspended").After(0).Untold(),
	}}}, func(g *xrpc.Group) {
		endpoint.Register(g, endpoint.Config{Acts: h.acts, Secrets: sessions.OAuth, Languages: []string{"en", "de"}, Now: now})
	})
	h.http = httptest.NewServer(server)
	t.Cleanup(h.http.Close)
	if first != nil {
		h.a, h.b = first.a, first.b
		return h
	}
	for host, of := range map[string]**tenant.Tenant{hostA: &h.a, hostB: &h.b} {
		if *of, err = h.acts.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: host, HandleDomains: []string{"on-" + host}}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// testLog fails a test on what the server logs.
type testLog struct{ testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "level=ERROR") {
		l.Errorf("the server logged: %s", p)
	}
	return len(p), nil
}

// document serves what clients publish.
func (h *house) document(w http.ResponseWriter, r *http.Request) {
	h.fetched.Add(1)
	h.mu.Lock()
	doc := h.docs[r.URL.Path]
	h.mu.Unlock()
	if h.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if doc == "" {
		w.WriteHeader(http.StatusNotFound)
	}
	_, _ = io.WriteString(w, doc)
}

func (h *house) publish(path string, doc any) {
	h.t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.docs[path] = string(text)
}

// person is an account's owner.
func (h *house) person(t *tenant.Tenant, name string) act.Owner {
	h.t.Helper()
	p := password
	did, handle, err := h.acts.CreateAccount(h.t.Context(), t, act.Operator{}, account.Request{Handle: name + ".on-" + t.Hostname, Email: name + "@example.com", Password: &p})
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := account.ByDID(h.t.Context(), h.db.Tenant(t.Schema).Q(), did)
	if err != nil {
		h.t.Fatal(err)
	}
	return act.Owner{Account: auth.Account{AID: a.AID, DID: did, Handle: handle, Scope: auth.ScopeAccess}}
}

// app is a client at one tenant.
type app struct {
	*house
	at       *tenant.Tenant
	id       string
	redirect string
	scope    string
	key      *oauthtest.Key // of its proofs
	secret   *oauthtest.Key // of a confidential client; nil
	browser  *act.Browser   // that people use
}

const defaultScope = "atproto transition:generic"

// publicApp publishes the document of a client without keys. change may alter it.
func (h *house) publicApp(t *tenant.Tenant, change ...func(doc map[string]any)) *app {
	h.t.Helper()
	path := fmt.Sprintf("/app-%d/metadata.json", h.apps.Add(1))
	a := &app{house: h, at: t, id: h.clients.URL + path, redirect: h.clients.URL + "/back", scope: defaultScope, key: oauthtest.NewKey(h.t, "ES256"), browser: new(act.Browser)}
	doc := map[string]any{
		"client_id": a.id, "application_type": "web", "client_name": "Some App", "redirect_uris": []string{a.redirect}, "response_types": []string{"code"},
		"grant_types": []string{"authorization_code", "refresh_token"}, "scope": defaultScope + " repo:com.example.note", "dpop_bound_access_tokens": true, "token_endpoint_auth_method": "none",
	}
	for _, f := range change {
		f(doc)
	}
	h.publish(path, doc)
	return a
}

// confidentialApp is one with keys at a URL of their own.
func (h *house) confidentialApp(t *tenant.Tenant) *app {
	h.t.Helper()
	secret := oauthtest.NewKey(h.t, "ES256")
	keys := "/keys-" + secret.ID
	h.publish(keys, map[string]any{"keys": []json.RawMessage{secret.JWK}})
	a := h.publicApp(t, func(doc map[string]any) {
		doc["token_endpoint_auth_method"], doc["token_endpoint_auth_signing_alg"], doc["jwks_uri"] = "private_key_jwt", "ES256", h.clients.URL+keys
	})
	a.secret = secret
	return a
}

func (a *app) keysPath() string { return "/keys-" + a.secret.ID }

// with is the app with another key for its proofs: who stole from it.
func (a *app) with(key *oauthtest.Key) *app {
	b := *a
	b.key = key
	return &b
}

// got is an answer.
type got struct {
	t      testing.TB
	status int
	header http.Header
	body   map[string]any
}

func (g got) str(name string) string { s, _ := g.body[name].(string); return s }

func (g got) ok() got {
	g.t.Helper()
	if g.status != http.StatusOK && g.status != http.StatusCreated {
		g.t.Fatalf("%d %v", g.status, g.body)
	}
	return g
}

// is checks for an error.
func (g got) is(status int, name string) got {
	g.t.Helper()
	if g.status != status || g.str("error") != name || g.str("error_description") == "" {
		g.t.Errorf("%d %v, not %d %s", g.status, g.body, status, name)
	}
	return g
}

// send posts to a host what is written.
func (h *house) send(method, host, path, kind, body string, header map[string]string) got {
	h.t.Helper()
	var r *http.Request
	var err error
	if r, err = http.NewRequestWithContext(context.WithoutCancel(h.t.Context()), method, h.http.URL+path, strings.NewReader(body)); err != nil {
		h.t.Error(err)
		return got{t: h.t}
	}
	r.Host = host
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Error(err)
		return got{t: h.t}
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	g := got{t: h.t, status: res.StatusCode, header: res.Header}
	if err != nil || len(raw) > 0 && json.Unmarshal(raw, &g.body) != nil {
		h.t.Errorf("%s %s: %v %s", method, path, err, raw)
	}
	return g
}

// nonce is one of now, as the last answer would have given it.
func (a *app) nonce() string {
	return a.house.send("POST", a.at.Hostname, "/oauth/token", "", "", nil).header.Get("DPoP-Nonce")
}

// post is one call with a proof that is good, but for what proof says.
func (a *app) post(path string, form url.Values, proofs ...oauthtest.Proof) got {
	a.t.Helper()
	p := oauthtest.Proof{}
	if len(proofs) > 0 {
		p = proofs[0]
	}
	if p.Nonce == "" {
		p.Nonce = a.nonce()
	}
	if p.Method == "" {
		p.Method = "POST"
	}
	if p.URL == "" {
		p.URL = a.at.PublicURL + path
	}
	if p.At.IsZero() {
		p.At = a.clock.Now()
	}
	return a.raw(path, form, map[string]string{"DPoP": a.key.Prove(a.t, p)})
}

// raw is one call with the client's credentials and nothing else.
func (a *app) raw(path string, form url.Values, header map[string]string) got {
	a.t.Helper()
	all := url.Values{"client_id": {a.id}}
	if a.secret != nil {
		all.Set("client_assertion_type", client.AssertionType)
		all.Set("client_assertion", a.secret.Assert(a.t, a.id, a.at.PublicURL, a.clock.Now(), nil))
	}
	maps.Copy(all, form)
	for name, v := range all {
		if len(v) == 1 && v[0] == "" {
			delete(all, name)
		}
	}
	return a.send("POST", a.at.Hostname, path, "application/x-www-form-urlencoded", all.Encode(), header)
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asks are the parameters of a request, with the verifier that its challenge is of.
func (a *app) asks(verifier string, more url.Values) url.Values {
	form := url.Values{
		"response_type": {"code"}, "redirect_uri": {a.redirect}, "scope": {a.scope}, "state": {"a state"},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	maps.Copy(form, more)
	return form
}

// verifier is a fresh one.
func verifier() string { return device.NewSecret() + device.NewSecret() }

// push asks, and gives the request's name.
func (a *app) push(verifier string, more url.Values) string {
	a.t.Helper()
	return a.post("/oauth/par", a.asks(verifier, more)).ok().str("request_uri")
}

// signInOnBrowser signs somebody in where they are going to consent, and gives the device's key.
func (a *app) signInOnBrowser(who act.Owner) []byte {
	a.t.Helper()
	of, err := account.ByDID(a.t.Context(), a.db.Tenant(a.at.Schema).Q(), who.DID)
	if err != nil {
		a.t.Fatal(err)
	}
	d, err := a.acts.EnterDevice(a.t.Context(), a.at, *a.browser, of, device.Stay{Remember: true})
	if err != nil {
		a.t.Fatal(err)
	}
	a.browser.Presented = *d.Keep
	return d.Key
}

// yes is what the pages do when somebody consents: the code.
func (a *app) yes(who act.Owner, uri string) string {
	a.t.Helper()
	back, err := a.acts.GrantAuthorization(a.t.Context(), a.at, who, a.signInOnBrowser(who), a.id, uri, scope.Parse(a.scope))
	if err != nil {
		a.t.Fatal(err)
	}
	u, err := url.Parse(back.URL())
	if err != nil || !strings.HasPrefix(back.URL(), a.redirect+"?") || u.Query().Get("iss") != a.at.PublicURL || u.Query().Get("state") != "a state" {
		a.t.Errorf("back to %s: %v", back.URL(), err)
	}
	return u.Query().Get("code")
}

// code is a code with its verifier.
func (a *app) code(who act.Owner) (code, v string) {
	a.t.Helper()
	v = verifier()
	return a.yes(who, a.push(v, nil)), v
}

func (a *app) redeemForm(code, verifier string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {a.redirect}}
}

func (a *app) redeem(code, verifier string) got {
	a.t.Helper()
	return a.post("/oauth/token", a.redeemForm(code, verifier))
}

// signIn goes the whole way.
func (a *app) signIn(who act.Owner) got {
	a.t.Helper()
	return a.redeem(a.code(who)).ok()
}

func (a *app) refresh(token string) got {
	a.t.Helper()
	return a.post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (a *app) revoke(token string) got {
	a.t.Helper()
	return a.post("/oauth/revoke", url.Values{"token": {token}})
}

// sessions is how many an account has.
func (h *house) sessions(t *tenant.Tenant, who act.Owner) int {
	h.t.Helper()
	apps, err := h.acts.ListApps(h.t.Context(), t, who.AID, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return len(apps)
}
