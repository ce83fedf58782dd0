package signin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
	"github.com/auroralocus/locus/internal/xrpc"
	"github.com/auroralocus/locus/repo/repodb"
)

const password = "correct horse battery"

// house is a server of two tenants with these pages, on a real socket and a real database, with a clock that the test moves.
type house struct {
	t       *testing.T
	url     string // of the database
	db      *db.DB
	acts    *act.Acts
	http    *httptest.Server
	a, b    *tenant.Tenant
	seconds atomic.Int64
	mails   *mails
	captcha http.RoundTripper
	apps    *apps
}

func (h *house) now() time.Time {
	return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(h.seconds.Load()) * time.Second)
}

func (h *house) pass(d time.Duration) { h.seconds.Add(int64(d / time.Second)) }

// apps are clients' documents, as their hosts would serve them.
type apps struct {
	mu   sync.Mutex
	docs map[string]map[string]any
}

func (a *apps) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	doc, ok := a.docs[r.URL.String()]
	if !ok {
		return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	b, err := json.Marshal(doc)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, err
}

// mails are the lines of the log that a development server writes in place of mail.
type mails struct {
	mu   sync.Mutex
	text strings.Builder
}

func (m *mails) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(b)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, url: dbtest.URL(t), mails: &mails{}, apps: &apps{docs: map[string]map[string]any{}}}
	log := slog.New(slog.NewTextHandler(h.mails, nil))
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	h.db = dbtest.Open(t, h.url)
	p := act.Parts{DB: h.db, Keys: keys, Now: h.now, Log: log, Hub: firehose.NewHub()}
	p.Tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "https", Names: true}, h.now, log)
	p.Directory = plcdir.New(h.db, h.now, false)
	p.Documents = identity.NewResolver(identity.ResolverConfig{Now: h.now, PLC: p.Directory, Log: log})
	t.Cleanup(p.Documents.Close)
	p.Actors = account.NewCache(h.db, 0, h.now)
	p.Sessions = auth.NewSessions(h.db, keys, p.Actors, h.now)
	p.Passwords = account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}}, h.now)
	p.Repos = repodb.New(h.db, keys, h.now, log, repodb.Config{Hub: p.Hub})
	t.Cleanup(p.Repos.Close)
	p.Outbox = outbox.New(h.db, keys, p.Tenants, outbox.Config{ShowText: true}, h.now, log)
	p.Limits = limit.New(h.db, h.now, log)
	p.Clients = client.NewStore(client.Config{HTTP: &http.Client{Transport: h.apps}, Now: h.now})
	h.acts = act.New(p)
	for host, at := range map[string]**tenant.Tenant{"a.test": &h.a, "b.test": &h.b} {
		*at, err = h.acts.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: host, HandleDomains: []string{host}, Settings: map[string]string{"signup": "open"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	pages := New(Config{Frame: web.New(h.acts, h.now, log), Acts: h.acts, Limits: p.Limits, Floor: time.Nanosecond,
		Captcha: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return h.captcha.RoundTrip(r) })}})
	server := xrpc.New(xrpc.Config{Log: log, Now: h.now, ByHost: p.Tenants.ByHost, Limits: p.Limits}, func(g *xrpc.Group) {
		pages.Frame.Register(g)
		pages.Register(g)
	})
	h.http = httptest.NewServer(server)
	t.Cleanup(h.http.Close)
	return h
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// set changes settings of a tenant.
func (h *house) set(t *tenant.Tenant, patch map[string]string) {
	h.t.Helper()
	if _, err := h.acts.Tenants.Set(h.t.Context(), t.Hostname, patch); err != nil {
		h.t.Fatal(err)
	}
}

// account makes one.
func (h *house) account(t *tenant.Tenant, name string) (did string) {
	h.t.Helper()
	pw := password
	did, _, err := h.acts.CreateAccount(h.t.Context(), t, act.Operator{}, account.Request{Handle: name + "." + t.Hostname, Email: name + "@example.com", Password: &pw})
	if err != nil {
		h.t.Fatal(err)
	}
	return did
}

func (h *house) byDID(t *tenant.Tenant, did string) *account.Account {
	h.t.Helper()
	who, err := account.ByDID(h.t.Context(), h.db.Tenant(t.Schema).Q(), did)
	if err != nil {
		h.t.Fatal(err)
	}
	return who
}

const (
	devBack    = "http://127.0.0.1/callback"
	trusted    = "https://app.example.com/client.json"
	publicBack = "https://app.example.com/callback"
)

// devApp is the client of a program on a developer's machine.
func devApp(scopes string) string {
	return "http://localhost?" + url.Values{"redirect_uri": {devBack}, "scope": {scopes}}.Encode()
}

// publish has an app's host serve its document.
func (h *house) publish(id, scopes string, more map[string]any) {
	u, _ := url.Parse(id)
	doc := map[string]any{
		"client_id": id, "client_name": "An <App>", "redirect_uris": []string{"https://" + u.Host + "/callback"}, "response_types": []string{"code"},
		"grant_types": []string{"authorization_code", "refresh_token"}, "scope": scopes, "dpop_bound_access_tokens": true, "token_endpoint_auth_method": "none",
	}
	for k, v := range more {
		doc[k] = v
	}
	h.apps.mu.Lock()
	defer h.apps.mu.Unlock()
	h.apps.docs[id] = doc
}

var pushes atomic.Int64

// push pushes a request, and gives the address that the app sends a browser to.
func (h *house) push(t *tenant.Tenant, clientID string, params ...string) string {
	h.t.Helper()
	sum := sha256.Sum256(time.Unix(pushes.Add(1), 0).AppendFormat(nil, time.RFC3339))
	in := map[string]string{
		"client_id": clientID, "response_type": "code", "code_challenge_method": "S256", "state": "of the app", "scope": "atproto",
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	for i := 0; i < len(params); i += 2 {
		in[params[i]] = params[i+1]
	}
	v := act.Visitor{From: fair.Path{t.Schema.String(), "192.0.2.7"}}
	pushed, err := h.acts.PushAuthorization(h.t.Context(), t, v, act.OAuthCall{Param: func(name string) string { return in[name] }})
	if err != nil {
		h.t.Fatal(err)
	}
	return t.PublicURL + "/oauth/authorize?" + url.Values{"client_id": {clientID}, "request_uri": {pushed.URI}}.Encode()
}

// person is a browser without script, and who sits in front of it.
type person struct {
	h       *house
	cookies map[string]map[string]string // by host
	agent   string
	lang    string
	page    *page
}

func (h *house) person() *person {
	return &person{h: h, cookies: map[string]map[string]string{}, agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", lang: "en"}
}

// send sends one request, and follows it within our hosts.
func (p *person) send(method, target string, body url.Values, from string) *page {
	p.h.t.Helper()
	for range 10 {
		u, err := url.Parse(target)
		if err != nil {
			p.h.t.Fatal(err)
		}
		if u.Host != "a.test" && u.Host != "b.test" {
			p.page = &page{t: p.h.t, location: u}
			return p.page
		}
		res, text := p.once(method, u, body, from)
		for _, c := range res.Cookies() {
			if p.cookies[u.Host] == nil {
				p.cookies[u.Host] = map[string]string{}
			}
			if c.MaxAge < 0 {
				delete(p.cookies[u.Host], c.Name)
			} else {
				p.cookies[u.Host][c.Name] = c.Value
			}
		}
		if res.StatusCode == http.StatusSeeOther {
			to, err := u.Parse(res.Header.Get("Location"))
			if err != nil {
				p.h.t.Fatal(err)
			}
			method, target, body = "GET", to.String(), nil
			continue
		}
		p.page = parsePage(p.h.t, u, res, text)
		return p.page
	}
	p.h.t.Fatalf("%s: it goes in circles", target)
	return nil
}

func (p *person) once(method string, u *url.URL, body url.Values, from string) (*http.Response, string) {
	p.h.t.Helper()
	var sent io.Reader
	if body != nil {
		sent = strings.NewReader(body.Encode())
	}
	r, err := http.NewRequestWithContext(p.h.t.Context(), method, p.h.http.URL+u.RequestURI(), sent)
	if err != nil {
		p.h.t.Fatal(err)
	}
	r.Host = u.Host
	r.Header.Set("User-Agent", p.agent)
	r.Header.Set("Accept-Language", p.lang)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if f, err := url.Parse(from); err == nil && f.Host == u.Host {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Referer", from)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://"+u.Host)
	}
	for name, value := range p.cookies[u.Host] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return res, string(b)
}

// open goes to an address.
func (p *person) open(target string) *page { p.h.t.Helper(); return p.send("GET", target, nil, "") }

// follow goes where a link leads that has these words.
func (p *person) follow(words string) *page {
	p.h.t.Helper()
	to, ok := p.page.links[words]
	if !ok {
		p.h.t.Fatalf("no link %q in %v", words, p.page)
	}
	return p.send("GET", to, nil, p.page.url.String())
}

// press presses the button that has these words, or this value, after filling in fields.
func (p *person) press(words string, fill ...string) *page {
	p.h.t.Helper()
	f, b := p.page.button(words)
	return p.submit(f, b, fill...)
}

func (p *person) submit(f *form, b button, fill ...string) *page {
	p.h.t.Helper()
	values := url.Values{}
	for k, v := range f.values {
		values[k] = slices.Clone(v)
	}
	for i := 0; i < len(fill); i += 2 {
		if f.kinds[fill[i]] == "" {
			p.h.t.Fatalf("no field %q in %v", fill[i], p.page)
		}
		values.Set(fill[i], fill[i+1])
	}
	if b.name != "" {
		values.Set(b.name, b.value)
	}
	target := f.action
	if f.method == "GET" {
		u, _ := url.Parse(target)
		u.RawQuery = values.Encode()
		return p.send("GET", u.String(), nil, f.page.url.String())
	}
	return p.send("POST", target, values, f.page.url.String())
}

// signedIn is somebody who is signed in already, as the account's pages do it.
func (h *house) signedIn(t *tenant.Tenant, name string, remember bool) *person {
	h.t.Helper()
	p := h.person()
	p.signIn(t.PublicURL+"/account/sign-in", name+"."+t.Hostname, remember)
	return p
}

// signIn signs in on the page at an address.
func (p *person) signIn(at, handle string, remember bool) *page {
	p.h.t.Helper()
	p.open(at).says(200, "Sign in")
	fill := []string{"identifier", handle, "password", password}
	if remember {
		fill = append(fill, "remember", "on")
	}
	return p.press("Sign in", fill...)
}
