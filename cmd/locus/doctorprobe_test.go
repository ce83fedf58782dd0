package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/outbound"
)

// proxyFrom is a proxy that calls the next one from an address of its own.
func proxyFrom(t *testing.T, address, next string, rewrite func(*httputil.ProxyRequest)) string {
	to, err := url.Parse(next)
	must(t, err)
	calls := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	server := httptest.NewServer(&httputil.ReverseProxy{Transport: calls, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		rewrite(r)
	}})
	t.Cleanup(func() { server.Close(); calls.CloseIdleConnections() })
	return server.URL
}

// TestDoctorAddress: the doctor finds out which address the server takes for a caller's, behind proxies that do it right
// and others that do not.
func TestDoctorAddress(t *testing.T) {
	master := keyring.GenerateMaster()
	keys, err := keyring.New(master, 1<<20)
	must(t, err)
	strangers, err := keyring.New(keyring.GenerateMaster(), 1<<20)
	must(t, err)
	append1 := func(r *httputil.ProxyRequest) {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
		r.SetXForwarded()
	}
	overwrites := func(r *httputil.ProxyRequest) { r.SetXForwarded() }
	drops := func(r *httputil.ProxyRequest) { r.Out.Header.Del("X-Forwarded-For") }
	asCame := func(r *httputil.ProxyRequest) { r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] }
	without := func(r *httputil.ProxyRequest) { append1(r); r.Out.Header.Del(doctor.ProbeHeader) }
	for name, c := range map[string]struct {
		trusted string
		proxies []func(*httputil.ProxyRequest) // the first is the one that the doctor meets
		keys    *keyring.Keyring
		want    []string
	}{
		"nothing between":                {"loopback", nil, keys, nil},
		"trusted, adds":                  {"127.0.0.2", []func(*httputil.ProxyRequest){append1}, keys, nil},
		"trusted, overwrites":            {"127.0.0.2", []func(*httputil.ProxyRequest){overwrites}, keys, nil},
		"not trusted":                    {"none", []func(*httputil.ProxyRequest){append1}, keys, []string{"address-proxy"}},
		"not trusted, overwrites":        {"none", []func(*httputil.ProxyRequest){overwrites}, keys, []string{"address-proxy"}},
		"hands it on as it came":         {"127.0.0.2", []func(*httputil.ProxyRequest){asCame}, keys, []string{"address-chosen"}},
		"says nothing":                   {"127.0.0.2", []func(*httputil.ProxyRequest){drops}, keys, []string{"address-none"}},
		"a CDN in front, both trusted":   {"127.0.0.2,127.0.0.3", []func(*httputil.ProxyRequest){append1, append1}, keys, nil},
		"a CDN in front, not trusted":    {"127.0.0.2", []func(*httputil.ProxyRequest){append1, append1}, keys, []string{"address-proxy"}},
		"the doctor at a trusted one's":  {"loopback", []func(*httputil.ProxyRequest){append1}, keys, []string{"address-unknown"}},
		"another master key":             {"127.0.0.2", []func(*httputil.ProxyRequest){append1}, strangers, []string{"address-silent"}},
		"a proxy that drops the request": {"127.0.0.2", []func(*httputil.ProxyRequest){without}, keys, []string{"address-silent"}},
	} {
		t.Run(name, func(t *testing.T) {
			trusted, err := inbound.ParseProxies(c.trusted)
			must(t, err)
			server := httptest.NewServer(tellsDoctor(keys, trusted, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			defer server.Close()
			at := server.URL
			for i, rewrite := range slices.Backward(c.proxies) {
				at = proxyFrom(t, net.IPv4(127, 0, 0, byte(2+len(c.proxies)-1-i)).String(), at, rewrite)
			}
			u, err := url.Parse(at)
			must(t, err)
			client := outbound.New(outbound.Policy{AllowLoopback: true})
			defer client.CloseIdleConnections()
			h := doctor.Host{Hostname: "pds.test", PublicURL: at, Probe: proofFor(c.keys, u.Host)}
			for _, check := range doctor.HostChecks(h, doctor.Outside{HTTP: client, Now: time.Now}) {
				if check.Name != "address" {
					continue
				}
				var names []string
				for _, f := range check.Look(context.Background()) {
					names = append(names, f.Name)
				}
				if !slices.Equal(names, c.want) {
					t.Errorf("found %q, want %q", names, c.want)
				}
			}
		})
	}
	proof, err := proofFor(keys, "pds.test")()
	must(t, err)
	for host, want := range map[string]bool{"pds.test": true, "other.test": false} {
		if proven(keys, proof, host) != want {
			t.Errorf("for %s: %v", host, !want)
		}
	}
	if proven(keys, "x"+proof, "pds.test") || proven(strangers, proof, "pds.test") {
		t.Error("what was changed, or made with another key, is believed")
	}
}
