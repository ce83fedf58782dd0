package handlers

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

// getHostStatus tells of this host: it knows no other.
// spec: lexicon com.atproto.sync.getHostStatus
func (m syncMethods) getHostStatus(ctx context.Context, v xrpc.Visitor, in *syncGetHostStatusInput) (*syncGetHostStatusOutput, error) {
	if name := strings.ToLower(in.Hostname); name != v.Tenant.Hostname && name != hostOf(v.Tenant) && name != hostOf(v.Called()) {
		return nil, xrpc.Refuse(http.StatusBadRequest, "HostNotFound", "This server knows only itself: %s", hostOf(v.Tenant))
	}
	seq, accounts, err := m.hosts.look(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	out := new(syncGetHostStatusOutput)
	out.Body.Hostname, out.Body.Seq, out.Body.AccountCount, out.Body.Status = in.Hostname, &seq, &accounts, "active"
	if v.Away() != nil {
		out.Body.Status = "offline"
	}
	return out, nil
}

// hostOf is the tenant's host as others know it: with the port, where its public URL has one.
func hostOf(t *tenant.Tenant) string {
	_, host, _ := strings.Cut(t.PublicURL, "://")
	return host
}

// hostCounts answers how large tenants are. Accounts are counted once a minute at most: it takes a walk through them.
type hostCounts struct {
	db  *db.DB
	now func() time.Time

	mu    sync.Mutex
	known map[int64]hostCount
}

type hostCount struct {
	accounts int64
	at       time.Time
}

const countEvery = time.Minute

func newHostCounts(d *db.DB, now func() time.Time) *hostCounts {
	return &hostCounts{db: d, now: now, known: map[int64]hostCount{}}
}

// look gives the number of the newest event and about how many accounts there are.
func (h *hostCounts) look(ctx context.Context, t *tenant.Tenant) (seq, accounts int64, err error) {
	q := h.db.Tenant(t.Schema).Q()
	if seq, err = q.GetLastSeq(ctx); err != nil {
		return 0, 0, err
	}
	now := h.now()
	h.mu.Lock()
	c, ok := h.known[t.ID]
	h.mu.Unlock()
	if since := now.Sub(c.at); !ok || since < 0 || since > countEvery {
		if c.accounts, err = q.CountActors(ctx); err != nil {
			return 0, 0, err
		}
		c.at = now
		h.mu.Lock()
		h.known[t.ID] = c
		h.mu.Unlock()
	}
	return seq, c.accounts, nil
}
