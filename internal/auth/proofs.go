package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/oauth/dpop"
)

// ErrProofUsed: the proof of possession was shown before.
var ErrProofUsed = errors.New("the DPoP proof was used before")

// errNoSession: there is no such session, or no account of it.
var errNoSession = errors.New("no such session")

const (
	// proofsAtOnce is how many statements of one tenant are on their way; what comes meanwhile makes the next.
	proofsAtOnce = 2
	maxProofs    = 64
	proofTime    = 10 * time.Second
	proofBytes   = 16 // of a digest, kept
)

// proofs uses up the proofs that calls by OAuth show, and looks at their sessions: both in one statement, and those of one
// tenant that come at once in one together. The database decides, so all processes agree on who was first, and a session
// that was ended is over at that moment.
type proofs struct {
	db  *db.DB
	now func() time.Time

	mu     sync.Mutex
	groups map[db.Schema]*proofGroup
}

// proofGroup are the calls of one tenant that wait.
type proofGroup struct {
	q       *tenantdb.Queries
	waiting []*shownProof
	running int
}

// shownProof is a proof with the session that it is shown for.
type shownProof struct {
	digest  []byte
	session []byte
	row     *tenantdb.InsertOAuthProofsRow
	err     error
	done    chan struct{}
}

func newProofs(d *db.DB, now func() time.Time) *proofs {
	return &proofs{db: d, now: now, groups: map[db.Schema]*proofGroup{}}
}

// use uses up a proof and gives the session's row. Errors: [ErrProofUsed], errNoSession.
func (p *proofs) use(ctx context.Context, schema db.Schema, proof dpop.Proof, session []byte) (*tenantdb.InsertOAuthProofsRow, error) {
	digest := proof.Digest()
	s := &shownProof{digest: digest[:proofBytes], session: session}
	p.mu.Lock()
	g := p.groups[schema]
	if g == nil {
		g = &proofGroup{q: p.db.Tenant(schema).Q()}
		p.groups[schema] = g
	}
	if slices.ContainsFunc(g.waiting, func(o *shownProof) bool { return bytes.Equal(o.digest, s.digest) }) {
		p.mu.Unlock()
		return nil, ErrProofUsed // in one statement, none of both would be the second
	}
	if g.running < proofsAtOnce { // nobody waits then
		g.running++
		p.mu.Unlock()
		p.send(ctx, g.q, []*shownProof{s})
		p.next(schema, g)
		return s.row, s.err
	}
	s.done = make(chan struct{})
	g.waiting = append(g.waiting, s)
	p.mu.Unlock()
	select {
	case <-s.done:
		return s.row, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next goes on with who came meanwhile. The call that was answered does not wait for them.
func (p *proofs) next(schema db.Schema, g *proofGroup) {
	group := p.take(schema, g)
	if group == nil {
		return
	}
	go func() {
		for ; group != nil; group = p.take(schema, g) {
			p.send(context.Background(), g.q, group)
		}
	}()
}

// take removes the next group from those that wait; nil: there is none, and one statement less is on its way.
func (p *proofs) take(schema db.Schema, g *proofGroup) []*shownProof {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(g.waiting), maxProofs)
	if n == 0 {
		if g.running--; g.running == 0 {
			delete(p.groups, schema)
		}
		return nil
	}
	group := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return group
}

// send runs one statement. A caller that goes away does not take it back: the proof counts as shown.
func (p *proofs) send(ctx context.Context, q *tenantdb.Queries, group []*shownProof) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proofTime)
	defer cancel()
	// In one order everywhere, so that two processes that are shown the same proofs cannot wait for each other.
	slices.SortFunc(group, func(a, b *shownProof) int { return bytes.Compare(a.digest, b.digest) })
	in := tenantdb.InsertOAuthProofsParams{ExpiresAt: p.now().Add(dpop.Kept).Unix()}
	for _, s := range group {
		in.Digests = append(in.Digests, s.digest)
		in.Sessions = append(in.Sessions, s.session)
	}
	rows, err := q.InsertOAuthProofs(ctx, in)
	if err != nil {
		err = fmt.Errorf("use proofs: %w", err)
	}
	for _, s := range group {
		i := slices.IndexFunc(rows, func(r tenantdb.InsertOAuthProofsRow) bool { return bytes.Equal(r.Digest, s.digest) })
		switch {
		case err != nil:
			s.err = err
		case i < 0:
			s.err = errNoSession
		case !rows[i].Fresh:
			s.err = ErrProofUsed
		default:
			s.row = &rows[i]
		}
		if s.done != nil {
			close(s.done)
		}
	}
}
