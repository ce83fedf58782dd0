package inbound

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// Who calls: what a client writes into X-Forwarded-For itself is believed by nobody, and counts for nobody else.
func TestClient(t *testing.T) {
	const cdn = "loopback,198.51.100.0/24,2001:db8:cd::/48"
	for _, c := range []struct {
		proxies, peer, want string
		forwarded           []string
	}{
		{"", "203.0.113.1:99", "203.0.113.1", nil},
		{"", "203.0.113.1:99", "203.0.113.1", []string{"198.51.100.1"}},
		{"", "127.0.0.1:99", "203.0.113.1", []string{"203.0.113.1"}},
		{"", "127.0.0.1:99", "203.0.113.1", []string{"198.51.100.1, 203.0.113.1"}},
		{"", "127.0.0.1:99", "203.0.113.1", []string{"198.51.100.1", "203.0.113.1, 10.0.0.7"}},
		{"", "127.0.0.1:99", "203.0.113.1", []string{"127.0.0.1, 203.0.113.1", "192.168.1.1", "fe80::1%eth0, fd00::1"}},
		{"", "127.0.0.1:99", "10.0.0.7", []string{"nonsense, 10.0.0.7"}},
		{"", "127.0.0.1:99", "127.0.0.1", []string{""}},
		{"", "127.0.0.1:99", "203.0.113.1", []string{"203.0.113.1,, ,"}},
		{"", "[::1]:99", "2001:db8::1", []string{"2001:db8::1"}},
		{"", "[::1]:99", "203.0.113.1", []string{"203.0.113.1:4711"}},
		{"", "[::1]:99", "2001:db8::1", []string{"[2001:db8::1]:4711"}},
		{"", "[::1]:99", "2001:db8::1", []string{"[2001:db8::1]"}},
		{"", "[::ffff:10.1.2.3]:99", "203.0.113.1", []string{"::ffff:203.0.113.1"}},
		{"", "@", "203.0.113.1", []string{"203.0.113.1"}}, // a Unix socket
		{"", "127.0.0.1:99", "127.0.0.1", []string{"203.0.113.1, 0.0.0.0"}},
		{"", "127.0.0.1:99", "127.0.0.1", []string{"203.0.113.1, unknown"}},
		{"", "127.0.0.1:99", "127.0.0.1", []string{"203.0.113.1, _hidden, for=192.0.2.1"}},
		// A client at home, behind a proxy at home that is named: it does not choose its address.
		{"loopback", "127.0.0.1:99", "10.0.0.7", []string{"203.0.113.1, 10.0.0.7"}},
		{"10.0.0.1", "10.0.0.1:99", "10.0.0.7", []string{"203.0.113.1", "10.0.0.7"}},
		{"10.0.0.1", "10.0.0.7:99", "10.0.0.7", []string{"203.0.113.1"}},
		{"10.0.0.1", "127.0.0.1:99", "127.0.0.1", []string{"203.0.113.1"}},
		{"none", "127.0.0.1:99", "127.0.0.1", []string{"203.0.113.1"}},
		// Behind a CDN each client is itself, and nobody comes by another's address.
		{cdn, "127.0.0.1:99", "203.0.113.1", []string{"203.0.113.1, 198.51.100.7"}},
		{cdn, "127.0.0.1:99", "203.0.113.2", []string{"203.0.113.1, 203.0.113.2, 198.51.100.7"}},
		{cdn, "[2001:db8:cd::9]:99", "2001:db8:1::1", []string{"2001:db8:1::1"}},
		{cdn, "127.0.0.1:99", "2001:db8:1::1", []string{"10.9.8.7, 2001:db8:1::1, [2001:db8:cd::9]:443"}},
		{"", "127.0.0.1:99", "198.51.100.7", []string{"203.0.113.1, 198.51.100.7"}},
		{"::ffff:198.51.100.0/120 127.0.0.1", "127.0.0.1:99", "203.0.113.1", []string{"203.0.113.1, 198.51.100.7"}},
	} {
		var p Proxies
		if c.proxies != "" {
			var err error
			if p, err = ParseProxies(c.proxies); err != nil {
				t.Fatal(err)
			}
		}
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded, "Forwarded": {"for=192.0.2.99"}, "X-Real-Ip": {"192.0.2.99"}}}
		if got := p.Client(r).String(); got != c.want {
			t.Errorf("proxies %q, %s by %q: %s, want %s", c.proxies, c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for _, bad := range []string{"", " , ", "10.0.0.0/33", "example.com", "0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "fe80::1%eth0", "10.0.0.1-10.0.0.9", "everybody"} {
		if _, err := ParseProxies(bad); !errors.Is(err, ErrProxies) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	p, err := ParseProxies(DefaultProxies)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{"127.8.9.1": true, "::1": true, "10.1.1.1": true, "172.31.0.1": true, "172.32.0.1": false, "fd00::1": true, "fe80::1": true, "100.64.0.1": false, "203.0.113.1": false, "::ffff:192.168.0.1": true} {
		if got := p.Trusts(netip.MustParseAddr(addr)); got != want || (Proxies{}).Trusts(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// FuzzClient: no header makes it panic, and an untrusted peer is always itself.
func FuzzClient(f *testing.F) {
	f.Add("203.0.113.1, 10.0.0.1", "[::1]:1,,")
	f.Fuzz(func(t *testing.T, a, b string) {
		h := http.Header{"X-Forwarded-For": {a, b}}
		if got := (Proxies{}).Client(&http.Request{RemoteAddr: "203.0.113.1:9", Header: h}); got.String() != "203.0.113.1" {
			t.Errorf("an untrusted peer is %s", got)
		}
		if got := (Proxies{}).Client(&http.Request{RemoteAddr: "127.0.0.1:9", Header: h}); !got.IsValid() || strings.Contains(got.String(), "%") {
			t.Errorf("%q %q: %s", a, b, got)
		}
	})
}
