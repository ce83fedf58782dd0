package handlers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
)

// wellKnown are the pages about the tenant and its accounts that stand outside the XRPC methods.
type wellKnown struct {
	actors  *account.Cache
	ping    func(context.Context) error
	version string
	log     *slog.Logger
}

func (p wellKnown) register(g *xrpc.Group) {
	xrpc.Page(g, "GET /.well-known/atproto-did", p.atprotoDID)
	xrpc.Page(g, "GET /.well-known/did.json", p.didJSON)
	xrpc.Page(g, "GET /xrpc/_health", p.health)
}

// atprotoDID resolves the handle that the host is.
// spec: handle#handle-resolution
func (p wellKnown) atprotoDID(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	handle := v.HostHandle()
	if handle == "" {
		handle = v.Tenant.Hostname // an account may be called as its server
	}
	a, err := p.actors.ByHandle(r.Context(), v.Tenant.Schema, handle, account.Fresh)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if err != nil || !a.Active() {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "User not found")
		return nil
	}
	_, _ = io.WriteString(w, a.DID)
	return nil
}

// didJSON is the document of the tenant's own did:web.
// spec: did#didweb-in-at-protocol
func (p wellKnown) didJSON(v xrpc.Visitor, w http.ResponseWriter, _ *http.Request) error {
	text, err := identity.ServiceDocument(v.Called().ServiceDID, v.Tenant.PublicURL).MarshalJSON()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(text)
	return nil
}

// healthTime bounds the look at the database.
const healthTime = 3 * time.Second

// health says 200 when the database answers, 503 when not.
func (p wellKnown) health(_ xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTime)
	defer cancel()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if err := p.ping(ctx); err != nil {
		if !db.IsUnavailable(err) { // which db tells the log
			p.log.WarnContext(ctx, "health: the database does not answer", "err", err)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"version":"`+p.version+`","error":"Service Unavailable"}`)
		return nil
	}
	_, _ = io.WriteString(w, `{"version":"`+p.version+`"}`)
	return nil
}
