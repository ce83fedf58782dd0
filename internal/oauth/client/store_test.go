package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/outbound/dnstest"
)

// world is clients' hosts, all on one server.
type world struct {
	t     testing.TB
	mu    sync.Mutex
	now   time.Time
	pages map[string]http.HandlerFunc // by host and path
	asked map[string]int
	store *Store
	http  *http.Client
}

var nobody = fair.Path{"t_1", "192.0.2.1"}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), pages: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked[r.Host+r.URL.Path]++
		page := w.pages[r.Host+r.URL.Path]
		w.mu.Unlock()
		if page == nil {
			http.NotFound(rw, r)
			return
		}
		page(rw, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	w.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.store = w.another()
	return w
}

// another is another process's.
func (w *world) another() *Store { return NewStore(Config{HTTP: w.http, Now: w.clock}) }

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) page(address string, h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[strings.TrimPrefix(address, "https://")] = h
}

func (w *world) times(address string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[strings.TrimPrefix(address, "https://")]
}

// serves publishes JSON; more are headers.
func (w *world) serves(address string, v any, more ...string) {
	body := text(w.t, v)
	w.page(address, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(more); i += 2 {
			rw.Header().Set(more[i], more[i+1])
		}
		_, _ = rw.Write(body)
	})
}

func (w *world) get() error {
	_, err := w.store.Get(w.t.Context(), nobody, appID)
	return err
}

// TestFetch: what an answer must be.
func TestFetch(t *testing.T) {
	w := newWorld(t)
	good := string(text(t, goodDocument()))
	for name, c := range map[string]struct {
		page http.HandlerFunc
		want error
	}{
		"good": {func(rw http.ResponseWriter, r *http.Request) {
			if r.Method != "GET" || r.Header.Get("Accept") != "application/json" || r.Header.Get("Cookie") != "" {
				t.Error(r.Method, r.Header)
			}
			rw.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = io.WriteString(rw, good)
		}, nil},
		"redirect": {func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://app.example.com/elsewhere", http.StatusFound)
		}, ErrMetadata},
		"moved": {func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://169.254.169.254/", http.StatusPermanentRedirect)
		}, ErrMetadata},
		"not found": {http.NotFound, ErrMetadata},
		"created": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(201)
			_, _ = io.WriteString(rw, good)
		}, ErrMetadata},
		"broken": {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) }, ErrUnavailable},
		"busy":   {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(429) }, ErrUnavailable},
		"page": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(rw, good)
		}, ErrMetadata},
		"nearly JSON": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/ld+json")
			_, _ = io.WriteString(rw, good)
		}, ErrMetadata},
		"no type": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header()["Content-Type"] = nil
			_, _ = io.WriteString(rw, good)
		}, ErrMetadata},
		"not JSON": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, "{")
		}, ErrMetadata},
		"cut": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(rw, good)
		}, ErrUnavailable},
		"huge": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, good+strings.Repeat(" ", maxDocument))
		}, ErrMetadata},
		"endless": {func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(rw, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}, ErrMetadata},
		"compressed bomb": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Content-Encoding", "gzip")
			_, _ = rw.Write(bomb(t))
		}, ErrMetadata},
	} {
		w.page(appID, c.page)
		w.wait(fresh)
		if err := w.get(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.times("https://app.example.com/elsewhere"); n != 0 {
		t.Errorf("a redirect was followed")
	}
}

// TestRemembered: how long a document is good for, by its own word and at most.
func TestRemembered(t *testing.T) {
	for control, want := range map[string]time.Duration{
		"": fresh, "max-age=3600": fresh, "max-age=120": 2 * time.Minute, "max-age=1": shortest, "no-store": shortest, "public, max-age=300": 5 * time.Minute, "max-age=-5": shortest, "max-age=x": fresh, "NO-CACHE": shortest,
	} {
		w := newWorld(t)
		w.serves(appID, goodDocument(), "Cache-Control", control)
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {want - time.Second, 1}, {2 * time.Second, 2}} {
			w.wait(step.wait)
			if err := w.get(); err != nil {
				t.Fatal(err)
			}
			if n := w.times(appID); n != step.want {
				t.Errorf("%q, after %s more: asked %d times, want %d", control, step.wait, n, step.want)
			}
		}
	}
	w := newWorld(t)
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{0, 1}, {failedKept - time.Second, 1}, {2 * time.Second, 2}} {
		w.wait(step.wait)
		if err := w.get(); !errors.Is(err, ErrMetadata) {
			t.Fatal(err)
		}
		if n := w.times(appID); n != step.want {
			t.Errorf("a failure, after %s more: asked %d times, want %d", step.wait, n, step.want)
		}
	}
}

// TestHostDown: who goes on with a session of a public client may for a day; nobody begins one, and no key is old.
func TestHostDown(t *testing.T) {
	w := newWorld(t)
	key := oauthtest.NewKey(t, "ES256")
	const other, keysAt = "https://conf.example.com/client.json", "https://conf.example.com/jwks.json"
	conf := goodDocument("client_id", other, "client_uri", nil, "redirect_uris", []string{"https://conf.example.com/b"}, "token_endpoint_auth_method", "private_key_jwt", "token_endpoint_auth_signing_alg", "ES256", "jwks_uri", keysAt)
	w.serves(appID, goodDocument())
	w.serves(other, conf)
	w.serves(keysAt, fields{"keys": []any{key.JWK}})
	c, err := w.store.Get(t.Context(), nobody, other)
	if err != nil {
		t.Fatal(err)
	}
	proves := func() error {
		_, err := w.store.Authenticate(t.Context(), nobody, c, AssertionType, key.Assert(t, other, "https://pds.example.com", w.clock(), nil), "https://pds.example.com")
		return err
	}
	if err := errors.Join(w.get(), proves()); err != nil {
		t.Fatal(err)
	}
	down := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) }
	for _, a := range []string{appID, other, keysAt} {
		w.page(a, down)
	}
	for _, wait := range []time.Duration{fresh, time.Hour, 22 * time.Hour} {
		w.wait(wait)
		if err := w.get(); !errors.Is(err, ErrUnavailable) {
			t.Error("a new session:", err)
		}
		if got, err := w.store.GetKnown(t.Context(), nobody, appID); err != nil || got.ID != appID {
			t.Error("going on:", err)
		}
		if _, err := w.store.GetKnown(t.Context(), nobody, other); !errors.Is(err, ErrUnavailable) {
			t.Error("a confidential client goes on:", err)
		}
		if err := proves(); !errors.Is(err, ErrUnavailable) {
			t.Error("an old key:", err)
		}
	}
	w.wait(time.Hour)
	if _, err := w.store.GetKnown(t.Context(), nobody, appID); !errors.Is(err, ErrUnavailable) {
		t.Error("after a day:", err)
	}
	w.serves(appID, goodDocument("client_id", "https://changed.example.com/x"))
	w.wait(failedKept)
	if _, err := w.store.GetKnown(t.Context(), nobody, appID); !errors.Is(err, ErrMetadata) {
		t.Error("a document that is bad now:", err)
	}
}

// TestOneFetch: however many ask at once, a document is fetched once, and of one host at most two things at a time.
func TestOneFetch(t *testing.T) {
	w := newWorld(t)
	var now, most atomic.Int64
	release := make(chan struct{})
	entered := make(chan string, 100)
	for _, name := range []string{"a", "b", "c", "d"} {
		id := "https://app.example.com/" + name
		body := text(t, goodDocument("client_id", id, "client_uri", nil))
		w.page(id, func(rw http.ResponseWriter, _ *http.Request) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			entered <- id
			<-release
			now.Add(-1)
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write(body)
		})
	}
	var calls sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		for range 8 {
			calls.Go(func() {
				if c, err := w.store.Get(t.Context(), nobody, "https://app.example.com/"+name); err != nil || c.ID != "https://app.example.com/"+name {
					t.Error(err)
				}
			})
		}
	}
	<-entered
	<-entered
	close(release)
	calls.Wait()
	for _, name := range []string{"a", "b", "c", "d"} {
		if n := w.times("https://app.example.com/" + name); n != 1 {
			t.Errorf("%s was fetched %d times", name, n)
		}
	}
	if most.Load() > perHost {
		t.Errorf("%d fetches of one host at once", most.Load())
	}
}

// TestWhoGivesUp: a caller that goes away gets an answer at once, and the others get theirs.
func TestWhoGivesUp(t *testing.T) {
	w := newWorld(t)
	release, entered := make(chan struct{}), make(chan struct{})
	body := text(t, goodDocument())
	w.page(appID, func(rw http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(body)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { _, err := w.store.Get(ctx, nobody, appID); done <- err }()
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	go func() { _, err := w.store.Get(t.Context(), nobody, appID); done <- err }()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestTooManyOfOneHost: a host that does not answer holds a bounded number of callers; others are told at once.
func TestTooManyOfOneHost(t *testing.T) {
	s := NewStore(Config{Now: time.Now})
	var leave []func()
	for range perHost {
		l, ok := s.enterHost(t.Context(), "a")
		if !ok {
			t.Fatal("no turn")
		}
		leave = append(leave, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range hostWaiting {
		waiting.Go(func() {
			if _, ok := s.enterHost(ctx, "a"); ok {
				t.Error("a turn too many")
			}
		})
	}
	for {
		s.mu.Lock()
		n := s.hosts["a"].users
		s.mu.Unlock()
		if n == perHost+hostWaiting {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, ok := s.enterHost(t.Context(), "a"); ok {
		t.Error("nobody is refused")
	}
	if l, ok := s.enterHost(t.Context(), "b"); !ok {
		t.Error("another host suffers")
	} else {
		l()
	}
	cancel()
	waiting.Wait()
	for _, l := range leave {
		l()
	}
	if len(s.hosts) != 0 {
		t.Error("hosts are kept", s.hosts)
	}
}

// TestPrivateAddresses: a document's host may not lead inside, whatever its name says, and nothing there is reached.
func TestPrivateAddresses(t *testing.T) {
	var heard atomic.Int64
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	inside.Config.ConnState = func(net.Conn, http.ConnState) { heard.Add(1) }
	inside.StartTLS()
	defer inside.Close()
	for _, address := range [][]byte{{127, 0, 0, 1}, {10, 0, 0, 1}, {169, 254, 169, 254}, {192, 168, 1, 1}} {
		dns := dnstest.New(t, func(_ string, qtype uint16) [][]byte {
			if qtype == dnstest.TypeA {
				return [][]byte{address}
			}
			return nil
		})
		c := outbound.New(outbound.Policy{Resolver: dns})
		s := NewStore(Config{HTTP: c, Now: time.Now})
		if _, err := s.Get(t.Context(), nobody, appID); !errors.Is(err, ErrMetadata) || !strings.Contains(err.Error(), "public address") {
			t.Errorf("%v: %v", address, err)
		}
		c.CloseIdleConnections()
	}
	if heard.Load() != 0 {
		t.Error("something inside was reached")
	}
}

// TestBounded: strangers' documents push out their own tenant's, and what is kept has a bound.
func TestBounded(t *testing.T) {
	w := newWorld(t)
	big := strings.Repeat("x", 90)
	links := make([]string, maxRedirects)
	for i := range links {
		links[i] = "https://app.example.com/" + strings.Repeat("y", 1900)
	}
	w.serves("https://quiet.example.com/c", goodDocument("client_id", "https://quiet.example.com/c", "client_uri", nil))
	if _, err := w.store.Get(t.Context(), fair.Path{"quiet"}, "https://quiet.example.com/c"); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		id := "https://app.example.com/" + strings.Repeat("z", i+1)
		w.serves(id, goodDocument("client_id", id, "client_uri", nil, "client_name", big, "redirect_uris", links))
		if _, err := w.store.Get(t.Context(), fair.Path{"flood"}, id); err != nil {
			t.Fatal(err)
		}
	}
	if b := w.store.kept.Bytes(); b > cacheBytes {
		t.Errorf("%d bytes are kept", b)
	}
	if _, err := w.store.Get(t.Context(), fair.Path{"quiet"}, "https://quiet.example.com/c"); err != nil || w.times("https://quiet.example.com/c") != 1 {
		t.Error("a neighbour's flood pushed it out", err)
	}
}
