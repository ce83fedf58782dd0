package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/outbound"
)

// TestRedirectedHandle: a handle's host may send elsewhere, a few times; each hop is held to the rules of the first.
func TestRedirectedHandle(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(rw, exampleDID) // an inside service, that nobody may reach by it
	}))
	defer inner.Close()
	var host string
	hops := map[string]string{
		"one.test": "http://final.localhost:PORT/did", "relative.test": "/did", "loop.test": "/.well-known/atproto-did",
		"five.test": "http://4.localhost:PORT/", "six.test": "http://5.localhost:PORT/",
		"inner.test": strings.Replace(inner.URL, "127.0.0.1", "[::1]", 1), "private.test": "http://10.0.0.1/", "user.test": "http://user:pass@final.localhost:PORT/did",
		"plain.test": "http://example.com/", "scheme.test": "file:///etc/passwd", "nowhere.test": "",
	}
	asked := 0
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked++
		name, port, _ := strings.Cut(r.Host, ":")
		to, known := hops[name]
		switch {
		case r.URL.Path == "/did":
			_, _ = fmt.Fprint(rw, exampleDID)
			return
		case known:
		case name == "1.localhost":
			to = "/did"
		default:
			to = fmt.Sprintf("http://%d.localhost:%s/", name[0]-'1', port)
		}
		rw.Header().Set("Location", strings.ReplaceAll(to, "PORT", host))
		rw.WriteHeader(http.StatusFound)
	}))
	defer web.Close()
	_, host, _ = strings.Cut(web.Listener.Addr().String(), ":")
	w := newWorld(t, func(c *ResolverConfig) {
		c.DevHost = web.Listener.Addr().String()
		c.HTTP = outbound.New(outbound.Policy{AllowLoopback: true, Refuse: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
		t.Cleanup(c.HTTP.CloseIdleConnections)
	})
	for handle, hopsTaken := range map[string]int{"one.test": 2, "relative.test": 2, "five.test": 6} {
		asked = 0
		if did, err := w.resolver.ResolveHandle(t.Context(), Asker{}, handle); did != exampleDID || asked != hopsTaken {
			t.Errorf("%s: %q, %v, %d requests", handle, did, err, asked)
		}
	}
	for _, handle := range []string{"loop.test", "six.test", "inner.test", "private.test", "user.test", "plain.test", "scheme.test", "nowhere.test"} {
		asked = 0
		if did, err := w.resolver.ResolveHandle(t.Context(), Asker{}, handle); did != "" || !errors.Is(err, ErrHandleNotFound) || asked > maxRedirects+1 {
			t.Errorf("%s: %q, %v, %d requests", handle, did, err, asked)
		}
	}
	// Redirects are not followed for a DID's document.
	if _, err := w.resolver.Resolve(t.Context(), Asker{}, "did:web:one.localhost%3A"+host); !errors.Is(err, ErrDIDUnavailable) {
		t.Error(err)
	}
}
