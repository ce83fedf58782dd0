package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestTrustedProxies: behind a CDN that is named each client has limits of its own, and a client at a private address
// that is not named cannot be another one with each call.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, refused := on(t, url, dir)
	refused("not a list of proxies", "serve", "--listen", "127.0.0.1:0", "--trusted-proxies", "0.0.0.0/0")
	refused("not a list of proxies", "serve", "--listen", "127.0.0.1:0", "--trusted-proxies", "proxy.example.com")
	ok("tenant", "create", "pds.example.com")
	left := func(s *served, forwarded string) string {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+"/xrpc/com.atproto.server.describeServer", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "pds.example.com"
		r.Header.Set("X-Forwarded-For", forwarded)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.Header.Get("Ratelimit-Remaining")
	}
	for _, test := range []struct {
		proxies, first, second string
		same                   bool
	}{
		{"loopback,private,198.51.100.0/24", "203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.2", false}, // a CDN that is named
		{"loopback,private", "203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.1", true},                  // and one that is not
		{"loopback", "203.0.113.3, 10.0.0.7", "203.0.113.4, 10.0.0.7", true},                                  // a client at home
		{"loopback,198.51.100.0/24", "203.0.113.5", "192.0.2.1, 203.0.113.5", true},                           // what a client writes itself
	} {
		s := serveFor(t, url, dir, []string{"LOCUS_TRUSTED_PROXIES=" + test.proxies})
		first := left(s, test.first)
		second := left(s, test.second)
		if first == "" || (first != second) != test.same {
			t.Errorf("proxies %s: %s has %s left, then %s has %s", test.proxies, test.first, first, test.second, second)
		}
		s.stop()
	}
}
