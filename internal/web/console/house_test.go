package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
)

// house is the dashboard on a database and a socket of its own.
type house struct {
	t       *testing.T
	db      *db.DB
	tenants *tenant.Registry
	acts    *act.Acts
	jobs    *job.Runner
	ahead   atomic.Int64
	mute    atomic.Bool
	store   string // folder of backups, where there are some
	pages   *Server
	http    *httptest.Server
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// pass moves the clock.
func (h *house) pass(d time.Duration) { h.ahead.Add(int64(d)) }

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseOn(t, dbtest.New(t))
}

func newHouseOn(t *testing.T, d *db.DB) *house {
	t.Helper()
	h := &house{t: t, db: d}
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	must(t, err)
	log := slog.New(slog.NewTextHandler(&lines{t: t, mute: &h.mute}, nil))
	h.tenants = tenant.NewRegistry(h.db, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, h.now, log)
	h.jobs = job.New(h.db, h.now, log)
	actors := account.NewCache(h.db, 0, h.now)
	h.acts = act.New(act.Parts{
		DB: h.db, Tenants: h.tenants, Keys: keys, Hub: firehose.NewHub(), Actors: actors, Sessions: auth.NewSessions(h.db, keys, actors, h.now),
		Settled: time.Millisecond, Now: h.now, Log: log,
	})
	for _, k := range h.acts.TenantJobs() {
		h.jobs.Register(k)
	}
	h.pages = New(Config{DB: h.db, Tenants: h.tenants, Acts: h.acts, Jobs: h.jobs, Proxies: inbound.Proxies{}, Version: "test", Now: h.now, Log: log})
	h.http = httptest.NewServer(h.pages)
	t.Cleanup(h.http.Close)
	return h
}

// runJobs has this process do jobs until the test ends.
func (h *house) runJobs() {
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.jobs.Run(running) }()
	h.t.Cleanup(func() { stop(); <-ended })
}

// lines fails the test on what the server logs as an error.
type lines struct {
	t    *testing.T
	mute *atomic.Bool // a test means it
}

func (l *lines) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "level=ERROR") && !l.mute.Load() {
		l.t.Errorf("the server logged: %s", p)
	}
	return len(p), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// byHand is somebody at the command line.
func byHand() act.Operator {
	return act.Operator{Operator: auth.Operator{Name: "cli:test", Role: auth.RoleOwner}, Deployment: auth.DeploymentOwner}
}

func (h *house) tenant(host string) *tenant.Tenant {
	h.t.Helper()
	made, err := h.acts.CreateTenant(h.t.Context(), byHand(), tenant.Spec{Hostname: host})
	must(h.t, err)
	return made
}

// browser is one browser.
type browser struct {
	h    *house
	http *http.Client
	// signs in
	ref    operator.Ref
	token  string
	host   string
	secret []byte // of the app
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(h.t, err)
	return &browser{h: h, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is what the server said.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
}

// field is the value of a hidden field of the page.
func (a answer) field(name string) string {
	a.t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		a.t.Fatalf("%s: there is no field %s: %.2000s", a.what, name, a.body)
	}
	return m[1]
}

// is holds the status, and texts that the page must have.
func (a answer) is(status int, texts ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, wanted %d: %.2500s", a.what, a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Errorf("%s: there is no %q: %.4000s", a.what, text, a.body)
		}
	}
	return a
}

// leads holds where a form that was taken leads to.
func (a answer) leads(to string) answer {
	a.t.Helper()
	a.is(http.StatusSeeOther)
	if got := a.header.Get("Location"); got != to {
		a.t.Errorf("%s leads to %s, not to %s", a.what, got, to)
	}
	return a
}

// lacks holds what the page must not have.
func (a answer) lacks(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Errorf("%s has %q", a.what, text)
		}
	}
	return a
}

func (b *browser) do(r *http.Request) answer {
	b.h.t.Helper()
	resp, err := b.http.Do(r)
	must(b.h.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(b.h.t, err)
	return answer{b.h.t, r.Method + " " + r.URL.Path, resp.StatusCode, resp.Header, string(body)}
}

func (b *browser) get(path string) answer {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, b.h.http.URL+path, nil)
	must(b.h.t, err)
	return b.do(r)
}

// post sends a form with the browser's token, which a page has given it.
func (b *browser) post(path string, pairs ...string) answer {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	if kept := b.cookie(cookieForm); kept != "" && !form.Has(web.FieldForm) {
		form.Set(web.FieldForm, web.MaskToken(kept))
	}
	return b.send(path, form)
}

func (b *browser) send(path string, form url.Values) answer {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, b.h.http.URL+path, strings.NewReader(form.Encode()))
	must(b.h.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.h.http.URL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

func (b *browser) cookie(name string) string {
	at, err := url.Parse(b.h.http.URL)
	must(b.h.t, err)
	for _, c := range b.http.Jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// code is what the app shows now.
func (b *browser) code() string { return account.TOTP(b.secret, b.h.now()) }

// comes has a browser come in by a link, and set up an app.
func (b *browser) comes() *browser {
	t := b.h.t
	t.Helper()
	code, _, err := b.h.acts.DashboardLink(t.Context(), byHand(), b.ref)
	must(t, err)
	b.get(pathEnter+"?code="+code).is(200, code)
	b.post(pathEnter, "code", code).leads(pathSetup)
	page := b.get(pathSetup).is(200, "A second factor")
	secret, err := decodeSecret(page.field("secret"))
	must(t, err)
	b.secret = secret
	b.post(pathOwn+"/app", "secret", page.field("secret"), "name", "phone", "code", b.code()).is(http.StatusSeeOther)
	return b
}

// signsIn has it come in again, with a token and a code.
func (b *browser) signsIn() answer {
	b.h.pass(31 * time.Second) // the next code
	if b.get(Root+"/sign-in").status != http.StatusOK {
		b.post(Root + "/sign-out").leads(Root + "/sign-in")
	}
	b.get(Root + "/sign-in").is(200)
	return b.post(Root+"/sign-in", "token", b.token, "tenant", b.host, "code", b.code())
}

// deployment is a new operator of the deployment, on a browser of its own; t is the tenant of role tenant.
func (h *house) deployment(role auth.DeploymentRole, t *tenant.Tenant) *browser {
	h.t.Helper()
	secret, what, err := h.acts.AddDeploymentToken(h.t.Context(), byHand(), act.NewDeploymentToken{Label: "of-" + role.String(), Role: role, Tenant: t})
	must(h.t, err)
	b := h.browser()
	b.ref, b.token = operator.OfToken(what.TokenID), secret
	return b.comes()
}

// operatorOf is a new operator of a tenant.
func (h *house) operatorOf(t *tenant.Tenant, role auth.Role) *browser {
	h.t.Helper()
	name := "own-" + role.String()
	token, err := h.acts.AddOperator(h.t.Context(), t, byHand(), name, role, act.NewToken{Label: "test"})
	must(h.t, err)
	b := h.browser()
	b.ref, b.token, b.host = operator.OfTenant(t.ID, name), token.Secret, t.Hostname
	return b.comes()
}

func openJobs(tenantID int64) job.Filter { return job.Filter{TenantID: tenantID, Open: true, Max: 1} }
