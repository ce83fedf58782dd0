package handlers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
)

// wellKnown are the pages about the tenant and its accounts that stand outside the XRPC methods.
type wellKnown struct {
	actors  *accounts.Cache
	ping    func(context.Context) error
	version string
	log     *slog.Logger
}

func (p wellKnown) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/atproto-did", p.atprotoDID)
	mux.HandleFunc("GET /.well-known/did.json", p.didJSON)
	mux.HandleFunc("GET /xrpc/_health", p.health)
}

// atprotoDID resolves the handle that the host is.
// spec: handle#handle-resolution
func (p wellKnown) atprotoDID(w http.ResponseWriter, r *http.Request) {
	match := stateOf(r.Context()).Match
	handle := match.Handle
	if handle == "" {
		handle = match.Hostname // an account may be called as its server
	}
	a, err := p.actors.ByHandle(r.Context(), match.Schema, handle, accounts.Fresh)
	if err != nil && !errors.Is(err, accounts.ErrNotFound) {
		e, hidden := translate(r.Context(), err)
		if hidden {
			stateOf(r.Context()).logCause(r, e, err)
		}
		writeError(w, e)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if err != nil || !a.Active() {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "User not found")
		return
	}
	_, _ = io.WriteString(w, a.DID)
}

// didJSON is the document of the tenant's own did:web.
// spec: did#did-web
func (p wellKnown) didJSON(w http.ResponseWriter, r *http.Request) {
	t := stateOf(r.Context()).Tenant
	text, err := identity.ServiceDocument(t.ServiceDID, t.PublicURL).MarshalJSON()
	if err != nil {
		stateOf(r.Context()).logCause(r, internalError(), err)
		writeError(w, internalError())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(text)
}

// healthTime bounds the look at the database.
const healthTime = 3 * time.Second

// health says 200 when the database answers, 503 when not.
func (p wellKnown) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTime)
	defer cancel()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if err := p.ping(ctx); err != nil {
		if !db.IsUnavailable(err) { // which db tells the log
			p.log.Warn("health: the database does not answer", "err", err)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"version":"`+p.version+`","error":"Service Unavailable"}`)
		return
	}
	_, _ = io.WriteString(w, `{"version":"`+p.version+`"}`)
}
