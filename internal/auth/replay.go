package auth

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/tenant"
)

// proofs remembers which proofs of possession were shown, so that none counts twice: here for what comes back at once,
// and in the tenant's schema for all processes.
type proofs struct {
	mu    sync.Mutex
	now   map[proofKey]struct{} // shown in this half of the time
	last  map[proofKey]struct{} // and in the one before
	began time.Time
}

type proofKey struct {
	tenant int64
	digest [32]byte
}

func (p *proofs) use(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, proof dpop.Proof, now time.Time) error {
	digest := proof.Digest()
	if !p.first(proofKey{t.ID, digest}, now) {
		return ErrProofUsed
	}
	n, err := q.InsertServiceNonce(ctx, tenantdb.InsertServiceNonceParams{Digest: digest[:], ExpiresAt: now.Add(dpop.Kept)})
	if err != nil {
		return fmt.Errorf("use proof: %w", err)
	}
	if n == 0 {
		return ErrProofUsed
	}
	return nil
}

// first says whether this process sees a proof for the first time. It remembers for one to two times as long as proofs
// are good.
func (p *proofs) first(k proofKey, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.began) >= dpop.Kept || p.now == nil {
		p.last, p.now, p.began = p.now, map[proofKey]struct{}{}, now
	}
	if _, ok := p.now[k]; ok {
		return false
	}
	if _, ok := p.last[k]; ok {
		return false
	}
	p.now[k] = struct{}{}
	return true
}
