package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/tenant"
)

// asker answers a proxy that makes certificates by itself, and asks first for which names: Caddy's on-demand TLS. It is
// served where machines ask about the process, which is not the internet.
type asker struct {
	names atomic.Pointer[certs.Names] // nil: the process is still starting
}

// over answers GET /ask?domain=NAME: 200 where a tenant has the name, or an account in use, and 403 else.
func (a *asker) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ask" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		names := a.names.Load()
		if names == nil {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "ask with GET", http.StatusMethodNotAllowed)
			return
		}
		name := r.URL.Query().Get("domain")
		switch _, err := names.For(r.Context(), certs.Normal(name)); {
		case err == nil:
			_, _ = io.WriteString(w, "yes\n")
		case errors.Is(err, certs.ErrNoName):
			http.Error(w, "no", http.StatusForbidden)
		default:
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	})
}

// didPath is all of the service that plain http answers: whoever resolves a handle may ask so.
const didPath = "/.well-known/atproto-did"

// plainFace is what is served by http beside https: challenges, handles, and the way to https. Nobody's password or token
// is taken there.
func plainFace(m *certs.Manager, byHost func(context.Context, string) (tenant.Match, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m != nil && m.Challenge(w, r) {
			return
		}
		if r.URL.Path == didPath || r.URL.Path == "/livez" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		match, err := byHost(r.Context(), r.Host)
		switch {
		case match.Tenant == nil && errors.Is(err, tenant.ErrUnknownHost), match.Kind == tenant.HandleHost:
			http.Error(w, "nothing is served here by http", http.StatusNotFound)
		case match.Tenant == nil:
			http.Error(w, "not now", http.StatusServiceUnavailable)
		case r.Method != http.MethodGet && r.Method != http.MethodHead, r.Header.Get("Upgrade") != "", r.Header.Get("Authorization") != "":
			// A program that goes on by itself would never learn that it sends secrets in the clear.
			http.Error(w, "use https: "+match.URL(), http.StatusForbidden)
		default:
			w.Header().Set("Location", match.URL()+r.URL.RequestURI())
			w.Header().Set("Cache-Control", "max-age=3600")
			w.WriteHeader(http.StatusPermanentRedirect)
		}
	})
}
