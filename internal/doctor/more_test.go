package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/outbound/dnstest"
)

// healthy is a deployment with which nothing is wrong, whatever the machine of the test is like.
func healthy(t *testing.T) doctor.Deployment {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	client := outbound.New(outbound.Policy{AllowLoopback: true})
	t.Cleanup(client.CloseIdleConnections)
	return doctor.Deployment{
		Now: func() time.Time { return now }, HTTP: client,
		Facts: func(context.Context) (db.Facts, error) {
			return db.Facts{Fsync: "on", SynchronousCommit: "on", FullPageWrites: "on", LocksPerTx: 64, MaxConnections: 100, Reserved: 3, Used: 1, Clock: now}, nil
		},
		Behind: func(context.Context) (int64, error) { return 0, nil }, Keys: func(context.Context) error { return nil },
		RoundTrip: func(context.Context) (time.Duration, error) { return time.Millisecond, nil },
		Directory: func(context.Context) (time.Time, error) { return now, nil }, DirectoryURL: "https://plc.test",
		Stores: []doctor.Store{{Name: "data:", Try: func(context.Context) error { return nil }}},
		Proofs: func(context.Context) (doctor.Proofs, error) {
			return doctor.Proofs{Tenants: 3, Database: now, KeyCopy: now}, nil
		},
		Noted: func(context.Context) (string, error) { return "production", nil },
		Nodes: func(context.Context) ([]doctor.Node, error) {
			return []doctor.Node{node("a", now), node("b", now)}, nil
		},
	}
}

func node(name string, now time.Time) doctor.Node {
	return doctor.Node{Address: name, Since: now.Add(-time.Hour), LookedAt: now, Facts: doctor.NodeFacts{Version: "1", Started: "production", Pools: map[int32]int{1: 40}}}
}

// TestDeploymentMore breaks one thing at a time of what a deployment rests on.
func TestDeploymentMore(t *testing.T) {
	nodes := func(change func(list []doctor.Node) []doctor.Node) func(*doctor.Deployment) {
		return func(d *doctor.Deployment) {
			d.Nodes = func(context.Context) ([]doctor.Node, error) {
				return change([]doctor.Node{node("a", d.Now()), node("b", d.Now())}), nil
			}
		}
	}
	proofs := func(change func(p *doctor.Proofs)) func(*doctor.Deployment) {
		return func(d *doctor.Deployment) {
			before := d.Proofs
			d.Proofs = func(ctx context.Context) (doctor.Proofs, error) {
				p, err := before(ctx)
				change(&p)
				return p, err
			}
		}
	}
	trip := func(took time.Duration) func(*doctor.Deployment) {
		return func(d *doctor.Deployment) {
			d.RoundTrip = func(context.Context) (time.Duration, error) { return took, nil }
		}
	}
	for name, c := range map[string]struct {
		do   func(d *doctor.Deployment)
		want []string
	}{
		"healthy": {func(*doctor.Deployment) {}, nil},
		"slow":    {trip(30 * time.Millisecond), []string{"database-slow"}},
		"stuck":   {trip(time.Second), []string{"database-slow"}},
		"store": {func(d *doctor.Deployment) {
			d.Stores[0].Try = func(context.Context) error { return errors.New("denied") }
		}, []string{"files"}},
		"serving": {func(d *doctor.Deployment) { trip(time.Second)(d); d.Serving = true }, nil}, // it says so itself
		"no directory": {func(d *doctor.Deployment) {
			d.Directory = func(context.Context) (time.Time, error) { return time.Time{}, errors.New("refused") }
		}, []string{"plc-unreachable"}},
		"directory's": {func(d *doctor.Deployment) {
			d.Directory = func(context.Context) (time.Time, error) { return d.Now().Add(-time.Minute), nil }
		}, []string{"clock-network"}},
		"silent clock": {func(d *doctor.Deployment) {
			d.Directory = func(context.Context) (time.Time, error) { return time.Time{}, nil }
		}, nil},
		"nobody serves": {nodes(func([]doctor.Node) []doctor.Node { return nil }), []string{"nodes-none"}},
		"silent":        {nodes(func(l []doctor.Node) []doctor.Node { l[0].LookedAt = time.Time{}; return l }), []string{"node-silent"}},
		"just started":  {nodes(func(l []doctor.Node) []doctor.Node { l[0].LookedAt, l[0].Since = time.Time{}, l[1].LookedAt; return l }), nil},
		"versions":      {nodes(func(l []doctor.Node) []doctor.Node { l[0].Facts.Version = "2"; return l }), []string{"node-versions"}},
		"pools":         {nodes(func(l []doctor.Node) []doctor.Node { l[0].Facts.Pools[1] = 58; return l }), []string{"database-pools"}},
		"node's own": {nodes(func(l []doctor.Node) []doctor.Node {
			l[0].Results = []doctor.Result{{Name: "disk", Findings: []doctor.Finding{{Severity: doctor.Error, Name: "disk-full", Wrong: "w", Seen: "s", Do: "d"}}}}
			return l
		}), []string{"disk-full"}},
		"no proof of key": {proofs(func(p *doctor.Proofs) { p.KeyCopy = time.Time{} }), []string{"key-copy"}},
		"old proof":       {proofs(func(p *doctor.Proofs) { p.Database, p.Stale = p.Database.Add(-100*24*time.Hour), 1 }), []string{"restore-stale"}},
		"tenants proved":  {proofs(func(p *doctor.Proofs) { p.Database = time.Time{} }), nil},
		"database fails":  {proofs(func(p *doctor.Proofs) { p.DatabaseProblem = "broken" }), []string{"restore-database-fails"}},
		"tenant fails":    {proofs(func(p *doctor.Proofs) { p.Failing = 1 }), []string{"restore-fails"}},
		"proofs unread": {func(d *doctor.Deployment) {
			d.Proofs = func(context.Context) (doctor.Proofs, error) { return doctor.Proofs{}, errors.New("no") }
		}, []string{"restorable"}},
		"nodes unread": {func(d *doctor.Deployment) {
			d.Nodes = func(context.Context) ([]doctor.Node, error) { return nil, errors.New("no") }
		}, []string{"nodes"}},
		"started as another":  {nodes(func(l []doctor.Node) []doctor.Node { l[1].Facts.Started = "development"; return l }), []string{"facts-node"}},
		"older, does not say": {nodes(func(l []doctor.Node) []doctor.Node { l[1].Facts.Started = ""; return l }), nil},
		"flag says another":   {func(d *doctor.Deployment) { d.Said = errors.New("--public-port says 1") }, []string{"facts-flags"}},
		"facts not noted":     {func(d *doctor.Deployment) { d.Noted = func(context.Context) (string, error) { return "", nil } }, []string{"facts-none"}},
		"facts unread": {func(d *doctor.Deployment) {
			d.Noted = func(context.Context) (string, error) { return "", errors.New("no") }
		}, []string{"facts"}},
		"lacks a key": {func(d *doctor.Deployment) {
			d.Lacking = func(context.Context) ([]string, error) { return []string{"a lacks key 2"}, nil }
		}, []string{"node-key"}},
		"has all keys": {func(d *doctor.Deployment) { d.Lacking = func(context.Context) ([]string, error) { return nil, nil } }, nil},
		"node away": {func(d *doctor.Deployment) {
			d.Further = []doctor.Server{{Name: "node 2", Ask: func(context.Context) error { return db.ErrWrongNode }}}
		}, []string{"database-node"}},
		"node there": {func(d *doctor.Deployment) {
			d.Further = []doctor.Server{{Name: "node 2", Ask: func(context.Context) error { return nil }}}
		}, nil},
		"no mail": {func(d *doctor.Deployment) { d.Mail = &doctor.Post{} }, []string{"mail-none"}},
		"mail refused": {func(d *doctor.Deployment) {
			d.Mail = &doctor.Post{Server: "mail.test:587", SetBy: "x", Dial: func(context.Context) error { return errors.New("535") }}
		}, []string{"mail-refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := healthy(t)
			c.do(&d)
			look(t, doctor.DeploymentChecks(d), c.want...)
		})
	}
}

// TestRelayClock: a relay whose Date is another one than ours.
func TestRelayClock(t *testing.T) {
	d := healthy(t)
	at := d.Now()
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.Format(http.TimeFormat))
	}))
	defer relay.Close()
	d.Relays = []string{relay.URL}
	look(t, doctor.DeploymentChecks(d))
	at = at.Add(time.Minute)
	look(t, doctor.DeploymentChecks(d), "clock-network")
}

// TestMailRecords: what receivers ask the sender's domain for.
func TestMailRecords(t *testing.T) {
	right := map[string]string{
		"mail.example.com": "v=spf1 include:_spf.example.net -all", "_dmarc.example.com": "v=DMARC1; p=none", "k1._domainkey.mail.example.com": "v=DKIM1; p=MIGf",
	}
	for name, c := range map[string]struct {
		do   func(records map[string]string, p *doctor.Post)
		want []string
	}{
		"all":      {func(map[string]string, *doctor.Post) {}, nil},
		"no SPF":   {func(r map[string]string, _ *doctor.Post) { delete(r, "mail.example.com") }, []string{"mail-spf"}},
		"no DMARC": {func(r map[string]string, _ *doctor.Post) { delete(r, "_dmarc.example.com") }, []string{"mail-dmarc"}},
		"own DMARC": {func(r map[string]string, _ *doctor.Post) {
			delete(r, "_dmarc.example.com")
			r["_dmarc.mail.example.com"] = "v=DMARC1; p=none"
		}, nil},
		"no DKIM":         {func(r map[string]string, _ *doctor.Post) { delete(r, "k1._domainkey.mail.example.com") }, []string{"mail-dkim"}},
		"revoked DKIM":    {func(r map[string]string, _ *doctor.Post) { r["k1._domainkey.mail.example.com"] = "v=DKIM1" }, []string{"mail-dkim"}},
		"another key":     {func(_ map[string]string, p *doctor.Post) { p.Selectors = []string{"x9"} }, []string{"mail-dkim"}},
		"a name of .test": {func(r map[string]string, p *doctor.Post) { clear(r); p.From = "a@pds.test" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			records := maps.Clone(right)
			d := healthy(t)
			d.Mail = &doctor.Post{Server: "mail.test:587", From: "noreply@mail.example.com", SetBy: "x", Dial: func(context.Context) error { return nil }}
			c.do(records, d.Mail)
			d.DNS = dnstest.New(t, func(name string, qtype uint16) [][]byte {
				if text, ok := records[name]; ok && qtype == dnstest.TypeTXT {
					return [][]byte{[]byte(text)}
				}
				return nil
			})
			look(t, doctor.DeploymentChecks(d), c.want...)
		})
	}
}

// TestItself: what a process finds about itself reaches the doctor of another one, and goes with the process.
func TestItself(t *testing.T) {
	d := dbtest.New(t)
	is := healthy(t)
	var broken error
	is.Keys = func(context.Context) error { return broken }
	itself := &doctor.Itself{
		DB: d, ID: 7, Where: "host 127.0.0.1:1", Every: time.Millisecond, Now: is.Now, Log: slog.New(slog.DiscardHandler),
		About: func(context.Context) (doctor.Deployment, error) { return is, nil },
		Facts: func() doctor.NodeFacts { return doctor.NodeFacts{Version: "1", Pools: map[int32]int{1: 4}} },
	}
	results, err := itself.Look(t.Context())
	if got := names(results); err != nil || len(got) > 0 || itself.Counts()[[2]string{"clock", "error"}] != 0 || len(itself.Counts()) < 8 {
		t.Fatal(got, err, itself.Counts())
	}
	broken = errors.New("another key")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- itself.Run(ctx) }()
	read := func() doctor.Node {
		list, err := doctor.ReadNodes(t.Context(), d, []doctor.Node{{ID: 7, Address: "x", Since: is.Now()}}, is.Now())
		if err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	for read().LookedAt.IsZero() {
		time.Sleep(time.Millisecond)
	}
	other := healthy(t)
	other.Serving = true
	other.Nodes = func(context.Context) ([]doctor.Node, error) { return []doctor.Node{read()}, nil }
	look(t, doctor.DeploymentChecks(other), "master-key")
	if n := read(); n.Facts.Pools[1] != 4 || itself.Counts()[[2]string{"master-key", "error"}] != 1 {
		t.Errorf("%+v %v", n, itself.Counts())
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := read(); !n.LookedAt.IsZero() {
		t.Errorf("%+v", n)
	}
}

// TestLacking: of the processes that say which keys they have, those are told that lack one that opens something.
func TestLacking(t *testing.T) {
	at := dbtest.URL(t)
	d := dbtest.Open(t, at)
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	now := time.Now().UTC()
	for _, statement := range []string{
		`INSERT INTO control.master_key (key_id, fingerprint, state, revision, added_at) VALUES (1, 'one', 3, 1, $1), (2, 'two', 2, 1, $1), (3, 'three', 4, 1, $1)`,
		`INSERT INTO control.process (process_id, address, version, control_version, tenant_version, started_at, seen_at, keys) VALUES
			(1, 'both', 'v', 14, 18, $1, $1, '{one,two}'), (2, 'old', 'v', 14, 18, $1, $1, '{one}'), (3, 'silent', 'v', 14, 18, $1, $1, NULL)`,
	} {
		if _, err := conn.Exec(t.Context(), statement, now); err != nil {
			t.Fatal(err)
		}
	}
	got, err := doctor.ReadLacking(t.Context(), d, now.Add(-time.Minute))
	if err != nil || !slices.Equal(got, []string{"old lacks key 2 (fingerprint two)"}) {
		t.Error(got, err)
	}
	if got, err := doctor.ReadLacking(t.Context(), d, now.Add(time.Minute)); err != nil || len(got) > 0 {
		t.Error(got, err)
	}
}

// TestHandles: what strangers are told of handles, and what the documents say of a few accounts.
func TestHandles(t *testing.T) {
	const did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	answer, status := did, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintln(w, answer)
	}))
	defer server.Close()
	w := newWorld(t, false)
	h := doctor.Host{
		Hostname: "localhost", PublicURL: server.URL, ServiceDID: "did:web:localhost", HandleDomains: []string{"localhost"},
		Sample: func(context.Context) ([]doctor.Account, error) {
			return []doctor.Account{{DID: did, Handle: "elsewhere.example.com"}, {DID: did, Handle: "a.localhost", SigningKey: "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF"}}, nil
		},
	}
	only := func(want ...string) {
		t.Helper()
		for _, c := range doctor.HostChecks(h, w.out) {
			if c.Name == "handles" {
				look(t, []doctor.Check{c}, want...)
			}
		}
	}
	only()
	answer = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
	only("handle-wellknown")
	answer, status = did, http.StatusNotFound
	only("handle-wellknown")
	documents := func(p plc, want ...string) {
		t.Helper()
		look(t, []doctor.Check{doctor.SampleCheck(h, nil, p)}, want...)
	}
	doc, err := identity.ParseDocument(did, fmt.Appendf(nil, `{"id":%q,"alsoKnownAs":["at://a.localhost"],"verificationMethod":[{"id":"%s#atproto","type":"Multikey","controller":%q,"publicKeyMultibase":"zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF"}],"service":[{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":%q}]}`, did, did, did, server.URL))
	if err != nil {
		t.Fatal(err)
	}
	documents(plc{doc: doc}, "did-handle") // of the first, whose handle is elsewhere
	documents(plc{err: identity.ErrDIDUnavailable})
	documents(plc{err: identity.ErrDIDNotFound}, "did-none", "did-none")
}

// TestHandlesCertificate: the certificate of the hostname is good, and the one that names under a handle domain get is not.
func TestHandlesCertificate(t *testing.T) {
	const did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, did) }))
	defer server.Close()
	client := server.Client() // trusts it, and it is for example.com and names below
	everyName := client.Transport.(*http.Transport).Clone()
	everyName.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	defer everyName.CloseIdleConnections()
	w := newWorld(t, false)
	w.out.HTTP = &http.Client{Transport: everyName}
	for handle, want := range map[string][]string{"a.example.com": nil, "a.users.test": {"tls-handles"}} {
		h := doctor.Host{
			Hostname: "example.com", PublicURL: "https://example.com", ServiceDID: "did:web:example.com", HandleDomains: []string{"example.com", "users.test"},
			Sample: func(context.Context) ([]doctor.Account, error) {
				return []doctor.Account{{DID: did, Handle: handle}}, nil
			},
		}
		for _, c := range doctor.HostChecks(h, w.out) {
			if c.Name == "handles" || c.Name == "tls" {
				wanted := want
				if c.Name == "tls" {
					wanted = nil
				}
				look(t, []doctor.Check{c}, wanted...)
			}
		}
	}
}

// TestNotLookedAt: what could not be looked at says so, with the reason, and is not said to be well.
func TestNotLookedAt(t *testing.T) {
	reasons := func(checks []doctor.Check) map[string]string {
		t.Helper()
		out := map[string]string{}
		for _, r := range doctor.Examine(t.Context(), checks, time.Minute, nil) {
			if r.NotLookedAt != "" {
				out[r.Name] = r.NotLookedAt
			}
			for _, f := range r.Findings {
				if f.Severity != doctor.Error && f.Severity != doctor.Warning {
					t.Errorf("%s: %+v", r.Name, f)
				}
			}
		}
		return out
	}
	has := func(what string, got map[string]string, want map[string]string) {
		t.Helper()
		for name, words := range want {
			if !strings.Contains(got[name], words) {
				t.Errorf("%s, %s: %q, want %q", what, name, got[name], words)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	d := healthy(t)
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }))
	d.Relays = []string{relay.URL}
	has("a relay without a clock", reasons(doctor.DeploymentChecks(d)), map[string]string{"clock": "does not say what time"})
	relay.Close()
	has("a relay that is away", reasons(doctor.DeploymentChecks(d)), map[string]string{"clock": "does not answer"})

	w := newWorld(t, true)
	has("a healthy tenant", reasons(doctor.HostChecks(w.host, w.out)), map[string]string{})
	w.out.HTTP = outbound.New(outbound.Policy{AllowLoopback: true}) // knows nothing of the test's authority
	defer w.out.HTTP.CloseIdleConnections()
	certificate := map[string]string{"websocket": "does not answer"}
	for _, name := range []string{"health", "describe", "service-did", "oauth"} {
		certificate[name] = "the certificate does not hold"
	}
	got := reasons(doctor.HostChecks(w.host, w.out))
	delete(got, "handles")
	has("a certificate that does not hold", got, certificate)

	w = newWorld(t, false)
	w.host.Development = true
	got = reasons(doctor.HostChecks(w.host, w.out))
	delete(got, "handles")
	has("a development deployment", got, map[string]string{"dns": "development", "tls": "has no certificate"})

	nobody := w.host
	nobody.Sample = func(context.Context) ([]doctor.Account, error) { return nil, nil }
	has("a tenant of nobody", reasons([]doctor.Check{doctor.SampleCheck(nobody, nil, nil)}), map[string]string{"documents": "no account"})
}
