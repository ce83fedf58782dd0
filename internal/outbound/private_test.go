package outbound

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/auroralocus/locus/internal/outbound/dnstest"
)

func private(t *testing.T, text string) Private {
	t.Helper()
	p, err := ParsePrivate(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePrivate(t *testing.T) {
	p := private(t, "appview.internal:3000, 10.1.2.3/16\tfd12::/64 [fd00:0::5]:80,,Chat.Internal.:443 ::ffff:10.9.0.0/112")
	for _, hp := range [][2]string{{"appview.internal", "3000"}, {"AppView.Internal.", "3000"}, {"fd00::5", "80"}, {"chat.internal", "443"}} {
		if !p.names(hp[0], hp[1]) {
			t.Errorf("%v is not named", hp)
		}
	}
	for _, hp := range [][2]string{{"appview.internal", "3001"}, {"x.appview.internal", "3000"}, {"appview.internal.evil.com", "3000"}, {"", ""}, {"10.1.2.3", "443"}} {
		if p.names(hp[0], hp[1]) {
			t.Errorf("%v is named", hp)
		}
	}
	if len(p.nets) != 3 || p.nets[0].String() != "10.1.0.0/16" || p.nets[2].String() != "10.9.0.0/16" {
		t.Error(p.nets)
	}
	for _, text := range []string{
		"appview.internal", "http://appview.internal:3000", "appview.internal:", ":443", "a:0", "a:70000", "a:http", "10.0.0.1", "0.0.0.0/0", "::/0",
		"::ffff:0:0/96", "::/64x", "10.1/16", "a b:1", "user@host:80", "[fe80::1%eth0]:80", "[::ffff:10.0.0.1]:80", "169.254.169.254:80", "[fd00:ec2::254]:80", "*.internal:80",
	} {
		if _, err := ParsePrivate(text); !errors.Is(err, ErrPrivate) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if p, err := ParsePrivate(" ,\n"); err != nil || p.names("", "") || len(p.nets) > 0 {
		t.Error("nothing is something", err)
	}
}

// TestPrivateHost: the host and port that the operator named are reached, by http too, and nothing beside them.
func TestPrivateHost(t *testing.T) {
	var heard atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		if r.URL.Path == "/away" {
			http.Redirect(w, r, fmt.Sprintf("http://other.internal:%s/", port(r.Host)), http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, r.Host)
	}))
	defer srv.Close()
	dns := dnstest.New(t, func(_ string, qtype uint16) [][]byte {
		if qtype == dnstest.TypeA {
			return [][]byte{{127, 0, 0, 1}}
		}
		return [][]byte{}
	})
	at := port(srv.Listener.Addr().String())
	c := client(t, Policy{Private: private(t, "inside.internal:"+at), Resolver: dns})
	if got, _, err := Fetch(t.Context(), c, "http://Inside.Internal:"+at+"/", "*/*", 100); err != nil || string(got) != "Inside.Internal:"+at {
		t.Errorf("%q, %v", got, err)
	}
	heard.Store(0)
	for _, url := range []string{
		"http://other.internal:" + at, "https://other.internal:" + at, "http://127.0.0.1:" + at, "https://127.0.0.1:" + at,
		"http://inside.internal", "https://inside.internal", "http://user@inside.internal:" + at, "http://[::ffff:127.0.0.1]:" + at,
		"http://x.inside.internal:" + at,
	} {
		if _, _, err := Fetch(t.Context(), c, url, "*/*", 100); !errors.Is(err, ErrUnsafeAddress) {
			t.Errorf("%s: %v", url, err)
		}
	}
	// A redirect leads to no other host, asked for or not.
	if _, status, err := Fetch(t.Context(), c, "http://inside.internal:"+at+"/away", "*/*", 100); status != http.StatusFound || !errors.Is(err, ErrStatus) {
		t.Error(status, err)
	}
	if _, _, err := Fetch(t.Context(), Following(c, 5), "http://inside.internal:"+at+"/away", "*/*", 100); !errors.Is(err, ErrUnsafeAddress) {
		t.Error(err)
	}
	if heard.Load() != 2 {
		t.Errorf("the server was reached %d times", heard.Load())
	}
}

// TestPrivateNetwork: a network opens https alone.
func TestPrivateNetwork(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	srv.Config.ErrorLog = nil
	c := client(t, Policy{Private: private(t, "127.0.0.0/8")})
	if _, _, err := Fetch(t.Context(), c, "http://"+srv.Listener.Addr().String(), "*/*", 100); !errors.Is(err, ErrUnsafeAddress) {
		t.Error(err)
	}
	// The connection is made; the test's certificate is nobody's.
	if _, _, err := Fetch(t.Context(), c, srv.URL, "*/*", 100); err == nil || errors.Is(err, ErrUnsafeAddress) || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

func port(hostPort string) string { return hostPort[strings.LastIndexByte(hostPort, ':')+1:] }
