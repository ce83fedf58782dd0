package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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

	"github.com/auroralocus/locus/internal/outbound/dnstest"
)

func client(t *testing.T, p Policy) *http.Client {
	t.Helper()
	c := New(p)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// Requests that must not leave the machine, and do not: the server that listens there hears nothing.
func TestUnsafeRequests(t *testing.T) {
	var heard atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(net.Conn, http.ConnState) { heard.Add(1) }
	srv.StartTLS()
	defer srv.Close()
	port := srv.Listener.Addr().(*net.TCPAddr).Port

	c := client(t, Policy{Ports: []uint16{uint16(port)}})
	for _, url := range []string{
		fmt.Sprintf("https://127.0.0.1:%d/", port),
		fmt.Sprintf("https://[::1]:%d/", port),
		fmt.Sprintf("https://[::ffff:127.0.0.1]:%d/", port),
		fmt.Sprintf("https://localhost:%d/", port),
		fmt.Sprintf("https://0.0.0.0:%d/", port),
		fmt.Sprintf("https://[::]:%d/", port),
		"https://169.254.169.254/latest/meta-data/",
		"http://example.com/",
		"ftp://example.com/",
		"file:///etc/passwd",
		"https://user:password@example.com/",
		"https://8.8.8.8:22/",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, _, err := Fetch(ctx, c, url, "*/*", 100)
		cancel()
		if !errors.Is(err, ErrUnsafeAddress) {
			t.Errorf("%s: %v", url, err)
		}
	}
	dev := client(t, Policy{AllowLoopback: true})
	for _, url := range []string{"http://10.0.0.1/", "http://example.com/", "https://192.168.0.1/"} {
		if _, _, err := Fetch(t.Context(), dev, url, "*/*", 100); !errors.Is(err, ErrUnsafeAddress) {
			t.Errorf("dev: %s: %v", url, err)
		}
	}
	if heard.Load() != 0 {
		t.Error("the server was reached")
	}
}

// A name that is public when it is looked up and private when it is connected to: the address that counts is the one
// connected to.
func TestDNSRebinding(t *testing.T) {
	var heard atomic.Int64
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	defer srv.Close()
	port := uint16(srv.Listener.Addr().(*net.TCPAddr).Port)
	var asked atomic.Int64
	dns := dnstest.New(t, func(name string, qtype uint16) (answer [][]byte) {
		if qtype != dnstest.TypeA {
			return nil
		}
		if asked.Add(1) == 1 {
			return [][]byte{{8, 8, 8, 8}}
		}
		return [][]byte{{127, 0, 0, 1}}
	})
	// A check that looks the name up by itself is satisfied …
	ips, err := dns.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	if err != nil || len(ips) != 1 || !IsPublicUnicast(ips[0]) {
		t.Fatal(ips, err)
	}
	// … and the connection is refused all the same.
	c := client(t, Policy{Resolver: dns, Ports: []uint16{port}})
	_, _, err = Fetch(t.Context(), c, fmt.Sprintf("https://rebind.example.com:%d/", port), "*/*", 100)
	if !errors.Is(err, ErrUnsafeAddress) || heard.Load() != 0 || asked.Load() < 2 {
		t.Errorf("%v, heard %d, asked %d", err, heard.Load(), asked.Load())
	}
}

func TestAnswers(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
			t.Error(r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000000000")
		_, _ = w.Write([]byte("x"))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", maxResponseHeaders))
	})
	mux.HandleFunc("/silent", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	mux.HandleFunc("/trickle", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer close(release)

	c := client(t, Policy{AllowLoopback: true, Timeout: 300 * time.Millisecond})
	for range 2 {
		if b, status, err := Fetch(t.Context(), c, srv.URL+"/ok", "*/*", 5); err != nil || string(b) != "hello" || status != 200 {
			t.Error(string(b), status, err)
		}
	}
	if _, _, err := Fetch(t.Context(), c, srv.URL+"/ok", "*/*", 4); !errors.Is(err, ErrTooBig) {
		t.Error(err)
	}
	if _, status, err := Fetch(t.Context(), c, srv.URL+"/redirect", "*/*", 100); !errors.Is(err, ErrStatus) || status != 302 {
		t.Error(status, err)
	}
	for _, path := range []string{"/huge", "/endless"} {
		if _, _, err := Fetch(t.Context(), c, srv.URL+path, "*/*", 10000); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, _, err := Fetch(t.Context(), c, srv.URL+"/headers", "*/*", 100); err == nil {
		t.Error("endless headers were taken")
	}
	for _, path := range []string{"/silent", "/trickle"} {
		_, _, err := Fetch(t.Context(), c, srv.URL+path, "*/*", 10000)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Names under .localhost lead to this machine whatever DNS thinks.
	url := strings.Replace(srv.URL, "127.0.0.1", "beta.localhost", 1)
	if _, _, err := Fetch(t.Context(), c, url+"/ok", "*/*", 100); err != nil {
		t.Error(err)
	}
}

// A certificate that does not match is an error like everywhere.
func TestCertificatesCount(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(t.Output(), "", 0)
	srv.StartTLS()
	defer srv.Close()
	c := client(t, Policy{AllowLoopback: true})
	var cert *tls.CertificateVerificationError
	if _, _, err := Fetch(t.Context(), c, srv.URL, "*/*", 100); !errors.As(err, &cert) {
		t.Error(err)
	}
}

// TestConnectionsKept: of one host no more connections are kept than the policy says.
func TestConnectionsKept(t *testing.T) {
	var open atomic.Int64
	var together sync.WaitGroup
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		together.Done()
		together.Wait()
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := client(t, Policy{AllowLoopback: true, IdlePerHost: 2})
	together.Add(6)
	var calls sync.WaitGroup
	for range 6 {
		calls.Go(func() {
			if _, _, err := Fetch(t.Context(), c, srv.URL, "*/*", 100); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	for deadline := time.Now().Add(10 * time.Second); open.Load() != 2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if open.Load() != 2 {
		t.Errorf("%d connections are kept", open.Load())
	}
}

// TestAsSent: an answer that is handed on keeps its encoding.
func TestAsSent(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, r.Header.Get("Accept-Encoding")+"!")
	}))
	defer srv.Close()
	got, _, err := Fetch(t.Context(), client(t, Policy{AllowLoopback: true, AsSent: true}), srv.URL, "*/*", 100)
	if err != nil || string(got) != "!" {
		t.Errorf("%q, %v", got, err)
	}
}
