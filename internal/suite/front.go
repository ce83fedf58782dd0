package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/certs/certstest"
)

// front answers https for every host: it hands calls to tenants on to the server, and keeps what drivers put on the
// hosts of clients.
type front struct {
	authority *certstest.Authority
	proxies   map[string]*httputil.ReverseProxy
	server    *http.Server

	mu        sync.Mutex
	certs     map[string]*tls.Certificate
	documents map[string][]byte // by host and path

	texts *texts // what drivers put onto the host of names
}

// newFront makes an authority of its own and writes its certificate to a file.
func newFront(file string) (*front, error) {
	f := &front{proxies: map[string]*httputil.ReverseProxy{}, certs: map[string]*tls.Certificate{}, documents: map[string][]byte{}}
	var err error
	if f.authority, err = certstest.New(); err != nil {
		return nil, err
	}
	return f, os.WriteFile(file, f.authority.PEM, 0o644)
}

// certificate makes one for a name when it is asked for first.
func (f *front) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.certs[hello.ServerName]; c != nil {
		return c, nil
	}
	c, err := f.authority.Certificate(hello.ServerName)
	if err != nil {
		return nil, err
	}
	f.certs[hello.ServerName] = c
	return c, nil
}

// route hands calls for hosts on to an address, with the host as it was.
func (f *front) route(address string, hosts ...string) {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorLog: log.New(io.Discard, "", 0), // of calls whose client went away
	}
	for _, h := range hosts {
		f.proxies[h] = proxy
	}
}

// transport is for calls of this program's own.
func (f *front) transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.authority.Pool}}
}

func (f *front) start() error {
	l, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		return err
	}
	return f.serve(l)
}

func (f *front) serve(l net.Listener) error {
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{GetCertificate: f.certificate}}
	go func() { _ = f.server.ServeTLS(l, "", "") }() // until it is closed
	return nil
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for host := r.Host; host != ""; _, host, _ = strings.Cut(host, ".") { // handles are below tenants
		if proxy := f.proxies[host]; proxy != nil {
			proxy.ServeHTTP(w, r)
			return
		}
	}
	name := r.Host + r.URL.Path
	switch r.Method {
	case http.MethodPut:
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if r.Host == nameHost { // PUT https://names.suite.alt/_lexicon.example.com
			f.texts.set(strings.TrimPrefix(r.URL.Path, "/"), string(text))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		f.mu.Lock()
		f.documents[name] = text
		f.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		f.mu.Lock()
		text, ok := f.documents[name]
		f.mu.Unlock()
		if !ok {
			http.Error(w, fmt.Sprintf("nobody has put anything at %s", name), http.StatusNotFound)
			return
		}
		kind := mime.TypeByExtension(path.Ext(r.URL.Path))
		if kind == "" {
			kind = "text/html; charset=utf-8"
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(text) // the reader may be gone
	default:
		http.Error(w, "GET, HEAD and PUT", http.StatusMethodNotAllowed)
	}
}

func (f *front) close() error {
	if f.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = f.server.Shutdown(ctx) // sockets of firehoses stay open
	return f.server.Close()
}
