package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/outbound/dnstest"
)

// names are those of all findings.
func names(results []doctor.Result) (out []string) {
	for _, r := range results {
		for _, f := range r.Findings {
			out = append(out, f.Name)
			if f.Wrong == "" || f.Seen == "" || f.Do == "" {
				out = append(out, "incomplete "+f.Name)
			}
		}
	}
	return out
}

func look(t *testing.T, checks []doctor.Check, want ...string) {
	t.Helper()
	results := doctor.Examine(t.Context(), checks, time.Minute, nil)
	if got := names(results); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q: %+v", got, want, results)
	}
}

// world is a healthy tenant with its relay on loopback; a test breaks one thing.
type world struct {
	mu     sync.Mutex // its servers read what a test breaks
	host   doctor.Host
	out    doctor.Outside
	status map[string]int // by path
	said   map[string]any // by path, in place of what is right
	dns    map[string]string
	txt    map[string]string
}

func newWorld(t *testing.T, tls bool) *world {
	w := &world{status: map[string]int{}, said: map[string]any{}, dns: map[string]string{"pds.test": "10.0.0.1", "doctor-probe.users.test": "10.0.0.1"}}
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if code := w.status[r.URL.Path]; code != 0 {
			rw.WriteHeader(code)
			_ = json.NewEncoder(rw).Encode(w.said[r.URL.Path])
			return
		}
		if strings.HasSuffix(r.URL.Path, "subscribeRepos") {
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err == nil {
				_, _ = fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				_ = conn.Close()
			}
			return
		}
		_ = json.NewEncoder(rw).Encode(w.said[r.URL.Path])
	})
	server := httptest.NewUnstartedServer(handler)
	w.out = doctor.Outside{Now: time.Now, HTTP: outbound.New(outbound.Policy{AllowLoopback: true})}
	if tls {
		server.StartTLS()
		w.out.HTTP = server.Client()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	t.Cleanup(w.out.HTTP.CloseIdleConnections)
	w.out.DNS = dnstest.New(t, func(name string, qtype uint16) [][]byte {
		w.mu.Lock()
		defer w.mu.Unlock()
		if ip := net.ParseIP(w.dns[name]); ip != nil && qtype == dnstest.TypeA {
			return [][]byte{ip.To4()}
		}
		if text, ok := w.txt[name]; ok && qtype == dnstest.TypeTXT {
			return [][]byte{[]byte(text)}
		}
		return nil
	})
	w.host = doctor.Host{
		Hostname: "pds.test", PublicURL: server.URL, ServiceDID: "did:web:pds.test", HandleDomains: []string{"users.test"},
		Crawlers: []string{server.URL}, HasStream: true, AppView: server.URL, LastSeq: func(context.Context) (int64, error) { return 5000, nil },
		EventsAfter:  func(_ context.Context, seq int64, most int) (int64, error) { return min(5000-seq, int64(most)), nil },
		Refused:      func(context.Context, string) (int, error) { return 0, nil },
		SecretsSince: func(context.Context) (time.Time, error) { return w.out.Now().AddDate(-1, 0, 0), nil },
	}
	const x = "/xrpc/com.atproto."
	w.said[x+"server.describeServer"] = map[string]string{"did": "did:web:pds.test"}
	w.said["/.well-known/did.json"] = identity.ServiceDocument("did:web:pds.test", server.URL)
	w.said["/.well-known/oauth-protected-resource"] = map[string]string{"resource": server.URL}
	w.said[x+"sync.getHostStatus"] = map[string]any{"status": "active", "seq": 4990}
	w.said[x+"sync.getRepoStatus"] = map[string]any{"active": true, "rev": "3kb"}
	w.said[profile] = map[string]any{"handle": "a.example.com"}
	return w
}

const profile = "/xrpc/app.bsky.actor.getProfile"

// TestHost breaks one thing at a time: exactly its finding names it.
func TestHost(t *testing.T) {
	const x = "/xrpc/com.atproto."
	for name, c := range map[string]struct {
		do   func(w *world)
		want []string
	}{
		"healthy":        {func(*world) {}, nil},
		"no address":     {func(w *world) { delete(w.dns, "pds.test") }, []string{"dns-hostname"}},
		"no wildcard":    {func(w *world) { delete(w.dns, "doctor-probe.users.test") }, []string{"dns-handles"}},
		"wildcard TXT":   {func(w *world) { w.txt = map[string]string{"_atproto.doctor-probe.users.test": "did=did:plc:x"} }, []string{"dns-txt"}},
		"health":         {func(w *world) { w.status["/xrpc/_health"] = 502 }, []string{"health"}},
		"another server": {func(w *world) { w.said[x+"server.describeServer"] = map[string]string{"did": "did:web:x.test"} }, []string{"describe-other"}},
		"other document": {func(w *world) {
			w.said["/.well-known/did.json"] = identity.ServiceDocument("did:web:x.test", w.host.PublicURL)
		}, []string{"service-did-other"}},
		"other endpoint": {func(w *world) {
			w.said["/.well-known/did.json"] = identity.ServiceDocument("did:web:pds.test", "https://x.test")
		}, []string{"service-did-endpoint"}},
		"wrong resource": {func(w *world) {
			w.said["/.well-known/oauth-protected-resource"] = map[string]string{"resource": "https://x.test"}
		}, []string{"oauth-other"}},
		"no oauth":     {func(w *world) { w.status["/.well-known/oauth-protected-resource"] = 404 }, []string{"oauth"}},
		"no upgrade":   {func(w *world) { w.status[x+"sync.subscribeRepos"] = 426 }, []string{"websocket"}},
		"unknown":      {func(w *world) { w.status[x+"sync.getHostStatus"] = 400 }, []string{"relay-unknown"}},
		"relay down":   {func(w *world) { w.status[x+"sync.getHostStatus"] = 503 }, []string{"relay-unreachable"}},
		"banned":       {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "banned", "seq": 5000} }, []string{"relay-banned"}},
		"throttled":    {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "throttled", "seq": 5000} }, []string{"relay-throttled"}},
		"offline":      {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "offline", "seq": 5000} }, []string{"relay-offline"}},
		"of tomorrow":  {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "asleep", "seq": 5000} }, []string{"relay-status"}},
		"read nothing": {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "active", "seq": -1} }, []string{"relay-nothing"}},
		"passed over": {func(w *world) {
			w.said[x+"sync.getHostStatus"] = map[string]any{"status": "active", "seq": 10}
			w.host.EventsAfter = func(context.Context, int64, int) (int64, error) { return 3, nil }
		}, nil},
		"relay behind":   {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "active", "seq": 10} }, []string{"relay-behind"}},
		"relay is ahead": {func(w *world) { w.said[x+"sync.getHostStatus"] = map[string]any{"status": "active", "seq": 9000} }, []string{"relay-ahead"}},
		"old secrets": {func(w *world) {
			w.host.SecretsSince = func(context.Context) (time.Time, error) { return time.Now().AddDate(-3, 0, 0), nil }
		}, []string{"token-secrets-old"}},
		"our seq unknown": {func(w *world) { w.host.LastSeq = func(context.Context) (int64, error) { return 0, errors.New("no") } }, []string{"relay-seq"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			w.mu.Lock()
			c.do(w)
			w.mu.Unlock()
			look(t, doctor.HostChecks(w.host, w.out), c.want...)
		})
	}
}

func TestCertificate(t *testing.T) {
	w := newWorld(t, true)
	look(t, doctor.HostChecks(w.host, w.out))
	end := w.out.HTTP
	res, err := end.Get(w.host.PublicURL + "/xrpc/_health")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	until := res.TLS.PeerCertificates[0].NotAfter
	w.out.Now = func() time.Time { return until.Add(-5 * 24 * time.Hour) }
	look(t, doctor.HostChecks(w.host, w.out), "tls-expires")

	w.host.HasStream = false
	w.out.Now = time.Now
	late := end.Transport.(*http.Transport).Clone()
	late.TLSClientConfig.Time = func() time.Time { return until.Add(time.Hour) }
	w.out.HTTP = &http.Client{Transport: late}
	defer late.CloseIdleConnections()
	look(t, doctor.HostChecks(w.host, w.out), "tls-expired")

	w.out.HTTP = outbound.New(outbound.Policy{AllowLoopback: true}) // knows nothing of the test's authority
	defer w.out.HTTP.CloseIdleConnections()
	look(t, doctor.HostChecks(w.host, w.out), "tls-untrusted")
}

// plc is a directory with one document.
type plc struct {
	identity.Directory
	doc *identity.Document
	err error
}

func (p plc) Resolve(context.Context, string) (*identity.Document, error) { return p.doc, p.err }

func TestAccount(t *testing.T) {
	const did, key = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"
	const status = "/xrpc/com.atproto.sync.getRepoStatus"
	for name, c := range map[string]struct {
		do   func(w *world, a *doctor.Account, p *plc, txt *string)
		want []string
	}{
		"healthy":        {func(*world, *doctor.Account, *plc, *string) {}, nil},
		"deactivated":    {func(_ *world, a *doctor.Account, _ *plc, _ *string) { a.Deactivated = true }, []string{"account-deactivated"}},
		"taken down":     {func(_ *world, a *doctor.Account, _ *plc, _ *string) { a.TakenDown = true }, []string{"account-takendown"}},
		"other handle":   {func(_ *world, _ *doctor.Account, _ *plc, txt *string) { *txt = "did=did:plc:bbbbbbbbbbbbbbbbbbbbbbbb" }, []string{"handle-other"}},
		"no handle":      {func(_ *world, a *doctor.Account, _ *plc, _ *string) { a.Handle = "" }, []string{"handle-none"}},
		"moved":          {func(_ *world, _ *doctor.Account, p *plc, _ *string) { p.doc.Service[0].Endpoint = "https://x.test" }, []string{"did-endpoint"}},
		"renamed":        {func(_ *world, _ *doctor.Account, p *plc, _ *string) { p.doc.AlsoKnownAs[0] = "at://b.example.com" }, []string{"did-handle"}},
		"other key":      {func(_ *world, a *doctor.Account, _ *plc, _ *string) { a.SigningKey = "did:key:zOther" }, []string{"did-key"}},
		"no DID":         {func(_ *world, _ *doctor.Account, p *plc, _ *string) { p.err = identity.ErrDIDNotFound }, []string{"did-none"}},
		"directory down": {func(_ *world, _ *doctor.Account, p *plc, _ *string) { p.err = identity.ErrDIDUnavailable }, []string{"did-unreachable"}},
		"unknown":        {func(w *world, _ *doctor.Account, _ *plc, _ *string) { w.status[status] = 400 }, []string{"relay-no-account"}},
		"inactive there": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.said[status] = map[string]any{"active": false, "status": "deactivated"}
		}, []string{"relay-account-inactive"}},
		"taken down there": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.said[status] = map[string]any{"active": false, "status": "takendown"}
		}, []string{"relay-account-takendown"}},
		"one too many there": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.said[status] = map[string]any{"active": false, "status": "throttled"}
		}, []string{"relay-account-throttled"}},
		"desynchronized there": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.said[status] = map[string]any{"active": false, "status": "desynchronized"}
		}, []string{"relay-account-desynchronized"}},
		"app view down":  {func(w *world, _ *doctor.Account, _ *plc, _ *string) { w.status[profile] = 502 }, []string{"appview-unreachable"}},
		"app view shuts": {func(w *world, _ *doctor.Account, _ *plc, _ *string) { w.status[profile] = 401 }, nil},
		"not in the app view": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.status[profile], w.said[profile] = 400, map[string]any{"error": "InvalidRequest", "message": "Profile not found"}
		}, []string{"appview-no-account"}},
		"taken down in the app view": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.status[profile], w.said[profile] = 400, map[string]any{"error": "AccountTakedown", "message": "Account has been suspended"}
		}, []string{"appview-takendown"}},
		"inactive in the app view": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.status[profile], w.said[profile] = 400, map[string]any{"error": "AccountDeactivated", "message": "Account is deactivated"}
		}, []string{"appview-inactive"}},
		"invalid handle in the app view": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.said[profile] = map[string]any{"handle": identity.HandleInvalid}
		}, []string{"appview-handle"}},
		"relay behind": {func(w *world, _ *doctor.Account, _ *plc, _ *string) {
			w.said[status] = map[string]any{"active": true, "rev": "3ka"}
		}, []string{"relay-account-behind"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			a := doctor.Account{DID: did, Handle: "a.example.com", Rev: "3kb", SigningKey: "did:key:" + key}
			doc, err := identity.ParseDocument(did, fmt.Appendf(nil, `{"id":%q,"alsoKnownAs":["at://a.example.com"],"verificationMethod":[{"id":"%s#atproto","type":"Multikey","controller":%q,"publicKeyMultibase":%q}],"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":%q}]}`, did, did, did, key, w.host.PublicURL))
			if err != nil {
				t.Fatal(err)
			}
			p, txt := plc{doc: doc}, "did="+did
			c.do(w, &a, &p, &txt)
			dns := dnstest.New(t, func(name string, qtype uint16) [][]byte {
				if name == "_atproto.a.example.com" && qtype == dnstest.TypeTXT {
					return [][]byte{[]byte(txt)}
				}
				return nil
			})
			web := outbound.New(outbound.Policy{Resolver: dns}) // the handle's host has no address there
			defer web.CloseIdleConnections()
			r := identity.NewResolver(identity.ResolverConfig{PLC: p, DNS: dns, Now: time.Now, HTTP: web})
			defer r.Close()
			look(t, doctor.AccountChecks(a, w.host, w.out, r, p), c.want...)
		})
	}
}

// TestDeployment asks a real Postgres, and then one that says what is wrong.
func TestDeployment(t *testing.T) {
	d := dbtest.New(t)
	for name, c := range map[string]struct {
		do   func(f *db.Facts, x *doctor.Deployment)
		want []string
	}{
		"healthy":     {func(*db.Facts, *doctor.Deployment) {}, nil},
		"fsync":       {func(f *db.Facts, _ *doctor.Deployment) { f.Fsync = "off" }, []string{"database-fsync"}},
		"pages":       {func(f *db.Facts, _ *doctor.Deployment) { f.FullPageWrites = "off" }, []string{"database-pages"}},
		"commit":      {func(f *db.Facts, _ *doctor.Deployment) { f.SynchronousCommit = "off" }, []string{"database-commit"}},
		"locks":       {func(f *db.Facts, _ *doctor.Deployment) { f.LocksPerTx = 10 }, []string{"database-locks"}},
		"many tables": {func(f *db.Facts, _ *doctor.Deployment) { f.MaxConnections, f.Schemas = 100, 401 }, []string{"database-locks"}},
		"not so many": {func(f *db.Facts, _ *doctor.Deployment) { f.MaxConnections, f.Schemas = 100, 399 }, nil},
		"connections": {func(f *db.Facts, _ *doctor.Deployment) { f.Used = f.MaxConnections - 1 }, []string{"database-connections"}},
		"clock":       {func(f *db.Facts, _ *doctor.Deployment) { f.Clock = f.Clock.Add(-time.Hour) }, []string{"clock"}},
		"behind": {func(_ *db.Facts, x *doctor.Deployment) {
			x.Behind = func(context.Context) (int64, error) { return 2, nil }
		}, []string{"schemas-behind"}},
		"too new": {func(_ *db.Facts, x *doctor.Deployment) {
			x.Behind = func(context.Context) (int64, error) { return 0, db.ErrTooNew }
		}, []string{"schemas-new"}},
		"key": {func(_ *db.Facts, x *doctor.Deployment) {
			x.Keys = func(context.Context) error { return errors.New("another") }
		}, []string{"master-key"}},
		"full disk": {func(_ *db.Facts, x *doctor.Deployment) {
			x.Room = func(string) (uint64, uint64, error) { return 1, 1000, nil }
		}, []string{"disk-full"}},
		"low disk": {func(_ *db.Facts, x *doctor.Deployment) {
			x.Room = func(string) (uint64, uint64, error) { return 50, 1000, nil }
		}, []string{"disk-low"}},
	} {
		t.Run(name, func(t *testing.T) {
			var facts db.Facts
			x := doctor.Deployment{
				Now: time.Now, Folders: []string{t.TempDir()}, Behind: func(context.Context) (int64, error) { return 0, nil },
				Keys: func(context.Context) error { return nil }, Room: func(string) (uint64, uint64, error) { return 500, 1000, nil },
				Facts: func(ctx context.Context) (db.Facts, error) {
					real, err := d.ServerFacts(ctx)
					// The servers of tests do not sync, and others use them too.
					real.Fsync, real.SynchronousCommit, real.FullPageWrites, real.LocksPerTx, real.Used = "on", "on", "on", 64, 1
					c.do(&real, &doctor.Deployment{})
					return real, err
				},
			}
			c.do(&facts, &x)
			look(t, doctor.DeploymentChecks(x), c.want...)
		})
	}
	tables, err := os.ReadFile("../../schema/made/tenant.sql")
	if n := regexp.MustCompile(`(?m)^CREATE (UNLOGGED )?TABLE `).FindAll(tables, -1); err != nil || len(n) != 16 {
		t.Errorf("a tenant has %d tables: tell the doctor (tenantTables); %v", len(n), err)
	}
	if f, err := d.ServerFacts(t.Context()); err != nil || f.Version < db.MinServerVersion || f.MaxConnections < 1 || f.LocksPerTx < 1 || f.Clock.IsZero() {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestSlow: a check that does not end is a finding, and the others are not held up.
func TestSlow(t *testing.T) {
	checks := []doctor.Check{
		{Group: "g", Name: "stuck", Look: func(ctx context.Context) []doctor.Finding { <-ctx.Done(); return nil }},
		{Group: "g", Name: "well", Look: func(context.Context) []doctor.Finding { return nil }},
	}
	results := doctor.Examine(t.Context(), checks, time.Millisecond, nil)
	if got := names(results[:1]); !slices.Equal(got, []string{"stuck-slow"}) || doctor.Worst(results) != doctor.Error {
		t.Errorf("found %q", got)
	}
}
