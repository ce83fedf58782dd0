package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/freeport"
)

// freeAddr is an address on loopback where nobody listens now.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestUpstream(t *testing.T) {
	u, err := listenUpstream("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	get := func(path string) (int, []byte) {
		res, err := http.Get(u.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b
	}
	for _, size := range []int{100, 50_000} {
		if status, b := get("/xrpc/a.b.c?size=" + map[int]string{100: "100", 50_000: "50000"}[size]); status != 200 || len(b) != size || !json.Valid(b) {
			t.Errorf("%d: %d, %d bytes", size, status, len(b))
		}
	}
	for _, path := range []string{"/xrpc/a.b.c", "/xrpc/a.b.c?size=1", "/xrpc/a.b.c?size=999999999", "/?size=100"} {
		if status, b := get(path); status != 400 || !json.Valid(b) {
			t.Errorf("%s: %d %s", path, status, b)
		}
	}
	if status, b := get("/.well-known/did.json"); status != 200 || !strings.Contains(string(b), u.did()) || !strings.HasPrefix(u.did(), "did:web:127.0.0.1%3A") {
		t.Errorf("%d %s", status, b)
	}
	if _, err := listenUpstream("0.0.0.0:0"); err == nil {
		t.Error("listens for everybody")
	}
}

// An answer that is not what the stand-in gave is an error, not a fast success.
func TestProxiedCutAnswer(t *testing.T) {
	m, url := startMemoryPDS(t)
	u, err := listenUpstream("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	other := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "short") })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = other.Serve(l) }()
	defer other.Close()
	m.behind = "http://" + l.Addr().String()
	r := command(t, url, "proxied")
	r.Upstream, r.Requests = u.url, 20
	if err := r.Run(context.Background()); err == nil {
		t.Error("no error")
	}
	if got := only(t, r); got.Operations != 0 || got.Errors != 20 || got.ErrorKinds[0].Name != "length" {
		t.Errorf("%+v", got)
	}
	r.Upstream = ""
	if err := r.Run(context.Background()); err == nil {
		t.Error("no stand-in, no error")
	}
}
