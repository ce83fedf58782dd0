package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/outbound/dnstest"
	"github.com/did-method-plc/go-didplc"
)

// world is a small internet on loopback: a PLC directory over HTTP that can be told to fail, web hosts by name, and a
// name server.
type world struct {
	mu     sync.Mutex
	now    time.Time
	docs   map[string]string // by DID
	status int               // of the directory; 0: as it should be
	gate   chan struct{}     // requests to the directory wait for it
	asked  atomic.Int64

	txt   map[string][]string // TXT records by name
	hosts map[string]string   // what a host serves at /.well-known/atproto-did

	resolver *Resolver
}

func newWorld(t *testing.T, change func(*ResolverConfig)) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), docs: map[string]string{}, txt: map[string][]string{}, hosts: map[string]string{}}
	plc := httptest.NewServer(http.HandlerFunc(w.servePLC))
	t.Cleanup(plc.Close)
	web := httptest.NewServer(http.HandlerFunc(w.serveWeb))
	t.Cleanup(web.Close)
	hc := outbound.New(outbound.Policy{AllowLoopback: true})
	t.Cleanup(hc.CloseIdleConnections)
	cfg := ResolverConfig{
		PLC: NewPLCClient(plc.URL, hc), HTTP: hc, Now: w.clock, DevHost: web.Listener.Addr().String(),
		DNS: dnstest.New(t, func(name string, qtype uint16) (out [][]byte) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range w.txt[name] {
				out = append(out, []byte(s))
			}
			return out
		}),
	}
	if change != nil {
		change(&cfg)
	}
	w.resolver = NewResolver(cfg)
	t.Cleanup(w.resolver.Close)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) servePLC(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	w.mu.Lock()
	status, doc, gate := w.status, w.docs[strings.TrimPrefix(r.URL.Path, "/")], w.gate
	w.mu.Unlock()
	if gate != nil {
		<-gate
	}
	switch {
	case status != 0:
		rw.WriteHeader(status)
	case doc == "":
		rw.WriteHeader(http.StatusNotFound)
	default:
		_, _ = rw.Write([]byte(doc))
	}
}

func (w *world) serveWeb(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	body, ok := w.hosts[r.Host+r.URL.Path]
	w.mu.Unlock()
	if !ok {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = rw.Write([]byte(body))
}

func docOf(did, handle string) string {
	b, _ := json.Marshal(&Document{ID: did, AlsoKnownAs: []string{"at://" + handle}})
	return string(b)
}

func (w *world) wantHandle(t *testing.T, did, want string) {
	t.Helper()
	d, err := w.resolver.Resolve(t.Context(), Asker{}, did)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Handle(); got != want {
		t.Fatalf("%s names %s, want %s", did, got, want)
	}
}

// settled waits until no fetch is under way: one that comes before the last has ended shares its answer.
func (w *world) settled() { w.resolver.wg.Wait() }

// eventually waits for what a background refresh brings.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestCacheAges(t *testing.T) {
	w := newWorld(t, nil)
	const did = exampleDID
	start := w.clock()
	at := func(d time.Duration) { w.set(func() { w.now = start.Add(d) }) }
	w.set(func() { w.docs[did] = docOf(did, "a.test") })
	w.wantHandle(t, did, "a.test")
	w.set(func() { w.docs[did] = docOf(did, "b.test") })

	at(cacheFresh - time.Second) // fresh: nobody is asked
	w.wantHandle(t, did, "a.test")
	if n := w.asked.Load(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	at(cacheFresh) // stale: given out, fetched behind
	w.wantHandle(t, did, "a.test")
	w.settled()
	w.wantHandle(t, did, "b.test")
	if n := w.asked.Load(); n != 2 {
		t.Fatalf("asked %d times", n)
	}

	// The directory fails: the old document is good for a day, and the directory is asked once a minute, not at every
	// call.
	w.set(func() { w.status = http.StatusInternalServerError })
	at(3 * time.Hour)
	for range 20 {
		w.wantHandle(t, did, "b.test")
	}
	w.settled()
	if n := w.asked.Load(); n != 3 {
		t.Fatalf("asked %d times", n)
	}
	at(3*time.Hour + cacheRetry)
	w.wantHandle(t, did, "b.test")
	w.settled()
	if n := w.asked.Load(); n != 4 {
		t.Fatalf("asked %d times", n)
	}
	at(cacheFresh + cacheMax)
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, did); !errors.Is(err, ErrDIDUnavailable) {
		t.Fatalf("after a day: %v", err)
	}

	// An answer that there is no such DID ends the old document at once.
	w.set(func() { w.status = 0 })
	at(cacheFresh + cacheMax + awayKept)
	w.wantHandle(t, did, "b.test")
	w.set(func() { delete(w.docs, did) })
	if _, err := w.resolver.Refresh(t.Context(), Asker{}, did); !errors.Is(err, ErrDIDNotFound) {
		t.Fatal(err)
	}
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, did); !errors.Is(err, ErrDIDNotFound) {
		t.Fatal(err)
	}
}

// A forced refresh does not settle for an answer that was on its way already, and that answer does not come back over
// the newer one.
func TestRefreshOvertakes(t *testing.T) {
	w := newWorld(t, nil)
	const did = exampleDID
	gate := make(chan struct{})
	w.set(func() { w.docs[did], w.gate = docOf(did, "old.test"), gate })
	first := make(chan string)
	go func() {
		d, err := w.resolver.Resolve(context.Background(), Asker{}, did)
		if err != nil {
			first <- err.Error()
			return
		}
		first <- d.Handle()
	}()
	eventually(t, "no request", func() bool { return w.asked.Load() == 1 })
	w.set(func() { w.docs[did], w.gate = docOf(did, "new.test"), nil })
	d, err := w.resolver.Refresh(t.Context(), Asker{}, did)
	if err != nil || d.Handle() != "new.test" {
		t.Fatal(d, err)
	}
	close(gate)
	if got := <-first; got != "old.test" {
		t.Fatal(got)
	}
	w.wantHandle(t, did, "new.test")
}

func TestConcurrentResolvesShareAFetch(t *testing.T) {
	w := newWorld(t, nil)
	gate := make(chan struct{})
	w.set(func() { w.docs[exampleDID], w.gate = docOf(exampleDID, "a.test"), gate })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := w.resolver.Resolve(t.Context(), Asker{}, exampleDID); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "no request", func() bool { return w.asked.Load() == 1 })
	time.Sleep(20 * time.Millisecond)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.resolver.Resolve(impatient, Asker{}, exampleDID); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(gate)
	wg.Wait()
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestClosedResolver(t *testing.T) {
	w := newWorld(t, nil)
	w.resolver.Close()
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, exampleDID); !errors.Is(err, ErrDIDUnavailable) {
		t.Error(err)
	}
}

func TestWebURL(t *testing.T) {
	for _, c := range []struct{ did, prod, dev string }{
		{"did:web:example.com", "https://example.com", "https://example.com"},
		{"did:web:localhost%3A2583", "", "http://localhost:2583"},
		{"did:web:localhost%3a2583", "", "http://localhost:2583"},
		{"did:web:Example.com", "https://Example.com", "https://Example.com"},
		{"did:web:beta.localhost%3A2583", "", "http://beta.localhost:2583"},
		{"did:web:localhost", "", "http://localhost"},
		{"did:web:localhost%3A0", "", ""},
		{"did:web:localhost%3A99999", "", ""},
		{"did:web:localhost%3A80%3A80", "", ""},
		{"did:web:localhost:path", "", ""},
		{"did:web:example.com%3A8443", "", ""},
		{"did:web:example.com:user:alice", "", ""},
		{"did:web:example.com%2Fpath", "", ""},
		{"did:web:example", "", ""},
		{"did:web:127.0.0.1", "", "http://127.0.0.1"},
		{"did:web:10.0.0.1", "", ""},
		{"did:web:", "", ""},
		{"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "", ""},
	} {
		for dev, want := range map[bool]string{false: c.prod, true: c.dev} {
			if got, err := WebURL(c.did, dev); got != want || (err == nil) != (want != "") {
				t.Errorf("%s (dev %v): %q, %v", c.did, dev, got, err)
			}
		}
	}
	if did := WebDID("localhost:2583"); did != "did:web:localhost%3A2583" {
		t.Error(did)
	}
}

func TestResolveWeb(t *testing.T) {
	w := newWorld(t, nil)
	_, port, _ := net.SplitHostPort(w.resolver.cfg.DevHost)
	host := "beta.localhost:" + port
	did := WebDID(host)
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, did); !errors.Is(err, ErrDIDNotFound) {
		t.Fatal(err)
	}
	w.set(func() { w.hosts[host+"/.well-known/did.json"], w.now = docOf(did, "a.test"), w.now.Add(failKept) })
	w.wantHandle(t, did, "a.test")
	other := WebDID("gamma.localhost:" + port)
	w.set(func() { w.hosts["gamma.localhost:"+port+"/.well-known/did.json"] = docOf(did, "a.test") })
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, other); !errors.Is(err, ErrDocument) {
		t.Errorf("the document of another: %v", err)
	}
	w.set(func() {
		w.hosts["gamma.localhost:"+port+"/.well-known/did.json"], w.now = strings.Repeat(" ", maxDocument+1), w.now.Add(failKept)
	})
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, other); !errors.Is(err, outbound.ErrTooBig) {
		t.Errorf("a huge document: %v", err)
	}
	for did, want := range map[string]error{"did:key:zabc": ErrDIDMethod, "did:plc:short": ErrDIDSyntax, "nonsense": ErrDIDSyntax, "did:web:a:b": ErrDIDSyntax} {
		if _, err := w.resolver.Resolve(t.Context(), Asker{}, did); !errors.Is(err, want) {
			t.Errorf("%s: %v", did, err)
		}
	}
}

func TestResolveHandle(t *testing.T) {
	w := newWorld(t, nil)
	const other = "did:web:example.com"
	w.set(func() {
		w.hosts["dev.test/.well-known/atproto-did"] = exampleDID + "\n"
		w.hosts["loop.localhost/.well-known/atproto-did"] = other
		w.hosts["big.test/.well-known/atproto-did"] = exampleDID + strings.Repeat(" ", maxHandleBody)
		w.txt["_atproto.dns.example.com"] = []string{"v=1", "did=" + exampleDID}
		w.txt["_atproto.two.example.com"] = []string{"did=" + exampleDID, "did=" + other}
	})
	for handle, want := range map[string]string{
		"dev.test": exampleDID, "DEV.test": exampleDID, "loop.localhost": other, "big.test": "", "none.test": "",
		"dns.example.com": exampleDID, "Dns.Example.com": exampleDID, "two.example.com": "", "none.example.com": "",
	} {
		did, err := w.resolver.ResolveHandle(t.Context(), Asker{}, handle)
		if did != want || (want == "") != errors.Is(err, ErrHandleNotFound) {
			t.Errorf("%s: %q, %v", handle, did, err)
		}
	}
	if _, err := w.resolver.ResolveHandle(t.Context(), Asker{}, "nonsense"); !errors.Is(err, ErrHandleSyntax) {
		t.Error(err)
	}
}

// Over https, with the name server and the host both answering: DNS has precedence, and the host is asked when DNS says
// nothing. The transport is a plain one that trusts the test's certificate, because the guard lets nobody connect to
// loopback under a public name.
func TestDNSHasPrecedence(t *testing.T) {
	const byDNS, byWeb = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
	web := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/atproto-did" || r.Host != "example.com" {
			t.Error(r.Host, r.URL)
		}
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprintln(rw, byWeb)
		}
	}))
	defer web.Close()
	w := newWorld(t, func(c *ResolverConfig) {
		c.DevHost = ""
		c.HTTP = web.Client() // trusts the certificate, which is for example.com, and connects to the server
	})
	if did, err := w.resolver.ResolveHandle(t.Context(), Asker{}, "example.com"); err != nil || did != byWeb {
		t.Error(did, err)
	}
	w.set(func() { w.txt["_atproto.example.com"], w.now = []string{"did=" + byDNS}, w.now.Add(handleKept) })
	if did, err := w.resolver.ResolveHandle(t.Context(), Asker{}, "example.com"); err != nil || did != byDNS {
		t.Error(did, err)
	}
	web.Client().CloseIdleConnections()
}

func TestVerifyHandle(t *testing.T) {
	w := newWorld(t, nil)
	const other = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
	w.set(func() {
		w.docs[exampleDID], w.docs[other] = docOf(exampleDID, "a.test"), docOf(other, "a.test")
		w.hosts["a.test/.well-known/atproto-did"] = exampleDID
	})
	own := func(_ context.Context, h string) (string, error) {
		if h == "a.test" {
			return other, nil
		}
		return "", ErrHandleNotFound
	}
	none := func(context.Context, string) (string, error) { return "", ErrHandleNotFound }
	for _, c := range []struct {
		handle, did string
		lookup      func(context.Context, string) (string, error)
		err         error
	}{
		{"a.test", exampleDID, nil, nil},
		{"A.test", exampleDID, none, nil},
		{"b.test", exampleDID, nil, ErrHandleMismatch},
		{"a.test", other, nil, ErrHandleMismatch},
		{"a.test", exampleDID, own, ErrHandleMismatch},
		{"a.test", other, own, nil},
		{"a.test", "did:plc:cccccccccccccccccccccccc", nil, ErrDIDNotFound},
		{"nonsense", exampleDID, nil, ErrHandleSyntax},
	} {
		if err := w.resolver.VerifyHandle(t.Context(), Asker{}, c.handle, c.did, c.lookup); !errors.Is(err, c.err) {
			t.Errorf("%s, %s: %v", c.handle, c.did, err)
		}
	}
	for did, want := range map[string]string{exampleDID: "a.test", other: HandleInvalid} {
		d, err := w.resolver.Resolve(t.Context(), Asker{}, did)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.resolver.VerifiedHandle(t.Context(), Asker{}, d); got != want {
			t.Errorf("%s: %s", did, got)
		}
	}
}

// What the directory answers to a submitted operation becomes an error of ours.
func TestSubmitErrors(t *testing.T) {
	var status atomic.Int64
	var body atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		rw.WriteHeader(int(status.Load()))
		_, _ = rw.Write([]byte(body.Load().(string)))
	}))
	defer srv.Close()
	hc := outbound.New(outbound.Policy{AllowLoopback: true})
	t.Cleanup(hc.CloseIdleConnections)
	p := NewPLCClient(srv.URL+"/", hc)
	sig := "x"
	op := &didplc.TombstoneOp{Type: "plc_tombstone", Prev: "x", Sig: &sig}
	for _, c := range []struct {
		status int
		body   string
		err    error
	}{
		{200, "OK", nil},
		{200, strings.Repeat("x", maxPLCAnswer+1), nil},
		{400, `{"message":"Invalid signature"}`, ErrOperation},
		{400, `{"message":"Operations not correctly ordered"}`, ErrOperationConflict},
		{409, `{"message":"Proposed prev does not match"}`, ErrOperationConflict},
		{400, `{"message":"To many operations within last hour (max 10)"}`, ErrOperationRate},
		{429, `slow down`, ErrOperationRate},
		{502, `<html>`, ErrDIDUnavailable},
		{302, ``, ErrDIDUnavailable},
	} {
		status.Store(int64(c.status))
		body.Store(c.body)
		if err := p.Submit(t.Context(), exampleDID, op); !errors.Is(err, c.err) {
			t.Errorf("%d %.30s: %v", c.status, c.body, err)
		} else if Passes(err) != (c.status >= 500) {
			t.Errorf("%d passes: %v", c.status, Passes(err))
		}
	}
	if err := p.Submit(t.Context(), "did:web:example.com", op); !errors.Is(err, ErrDIDSyntax) {
		t.Error(err)
	}
	srv.Close()
	hc.CloseIdleConnections()
	if err := p.Submit(t.Context(), exampleDID, op); !errors.Is(err, ErrDIDUnavailable) || !Passes(err) {
		t.Error(err)
	}
	if _, err := p.Last(t.Context(), exampleDID); !errors.Is(err, ErrDIDUnavailable) {
		t.Error(err)
	}
}
