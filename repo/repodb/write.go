package repodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/repo"
)

// maxTries bounds how often one write is built. Each lost race means that somebody else's write went through, so even
// two are rare.
const maxTries = 20

// Options of a write.
type Options struct {
	// SwapCommit, if not nil, must be the newest commit.
	SwapCommit *cid.Cid
	// Quota is what the records may be and take.
	Quota Quota
}

// Result of a write.
type Result struct {
	CID     cid.Cid   // the newest commit: this write's, if Changed
	Rev     repo.TID  // its revision
	Seq     int64     // the number of the write's event; 0 if not Changed
	Ops     []repo.Op // what the commit did, in the order of the writes
	Changed bool      // false: there was nothing to do, and no commit
}

// Write commits what build asks for, all or nothing, and returns when the commit and its event are durable.
//
// build is called with the repository as it is; no writes mean no commit. It is called again if the repository turns
// out to have changed meanwhile, so it must do nothing but look and decide. Its errors are returned as they are, once
// it is certain that they were decided on the newest state of the repository. It runs in no transaction: it may take
// its time, but other writes to the repository wait.
//
// Errors: ErrSwapCommit, ErrRepoNotFound, ErrRepoDeactivated, ErrRepoTakendown, ErrAccountQuota, ErrTenantQuota, those
// of repo.Apply and build; db.ErrUnavailable: nothing was written; db.ErrUnknownOutcome: the database went away and did
// not come back in time to tell whether the write happened.
func (s *Store) Write(ctx context.Context, schema db.Schema, aid int64, opts Options, build func(v *View) ([]repo.Write, error)) (Result, error) {
	st, err := s.acquire(ctx, repoKey{schema, aid})
	if err != nil {
		return Result{}, fmt.Errorf("write to %s: %w", name(schema, aid), err)
	}
	defer s.release(st)
	res, err := s.write(ctx, st, opts, build)
	if err != nil {
		return Result{}, fmt.Errorf("write to %s: %w", name(schema, aid), err)
	}
	return res, nil
}

// writing is one write on its way: what is asked for, and the commits that were made of it whose fate is not known.
type writing struct {
	s     *Store
	st    *state
	opts  Options
	build func(v *View) ([]repo.Write, error)
	limbo []*pending
}

// verdict is what came of one attempt at a write.
type verdict uint8

const (
	settled    verdict = iota // the write is over, with a result or an error
	overtaken                 // it was built on a commit that is not the newest; the newest is known by now
	stale                     // what it was built on has changed while it was read
	lost                      // another write won the compare-and-set
	unanswered                // the commit was sent, and nobody knows what became of it: it is in limbo
	away                      // the database is away, which is no reason to leave a commit in limbo
)

// write attempts until there is a verdict that lasts.
func (s *Store) write(ctx context.Context, st *state, opts Options, build func(v *View) ([]repo.Write, error)) (Result, error) {
	w := writing{s: s, st: st, opts: opts, build: build}
	for try := range maxTries {
		if err := giveWay(ctx, try); err != nil {
			return Result{}, w.certain(err)
		}
		res, v, err := w.attempt(ctx)
		switch v {
		case settled:
			return res, w.certain(err)
		case overtaken:
		default:
			st.forget()
		}
	}
	return Result{}, w.certain(ErrContention)
}

// certain is the error of a write: "it did not happen" may only be said when none of its commits can still happen in
// the server.
func (w *writing) certain(err error) error {
	if err != nil && len(w.limbo) > 0 && !errors.Is(err, db.ErrUnknownOutcome) {
		return fmt.Errorf("%w: %w", db.ErrUnknownOutcome, err)
	}
	return err
}

// waits tells whether an error is one to wait out: the database is away for a moment, and a commit is in limbo.
func (w *writing) waits(ctx context.Context, err error) bool {
	return len(w.limbo) > 0 && db.IsUnavailable(err) && !errors.Is(err, db.ErrFull) && !errors.Is(err, db.ErrSlow) && !errors.Is(err, db.ErrGivenUp) && ctx.Err() == nil
}

// refused is the verdict on an attempt that failed.
func (w *writing) refused(ctx context.Context, err error) (Result, verdict, error) {
	if w.waits(ctx, err) {
		return Result{}, away, nil
	}
	return Result{}, settled, err
}

// attempt builds the write on what is known of the repository, or else on what is read, and commits it.
func (w *writing) attempt(ctx context.Context) (Result, verdict, error) {
	remembered := w.st.head != nil
	if !remembered {
		h, err := w.s.loadHead(ctx, w.st.key)
		// Asked after the head was read: a commit in limbo either shows in what we build on, and is found here, or
		// needs the head we build on and is found out by the compare-and-set.
		switch found, seq, err := w.find(ctx); {
		case err != nil:
			return Result{}, settled, err
		case found != nil:
			w.s.remember(w.st.key, found)
			return found.result(seq), settled, nil
		}
		if err != nil {
			return w.refused(ctx, err)
		}
		w.st.know(h)
	}
	p, err := w.s.build(ctx, w.st, w.opts, w.build)
	switch {
	case errors.Is(err, errStale):
		return Result{}, stale, nil
	case err != nil && (ctx.Err() != nil || db.IsUnavailable(err)):
		return w.refused(ctx, err)
	case p == nil:
		return w.nothing(ctx, remembered, err)
	}
	return w.commit(ctx, p)
}

// find looks for a commit in limbo that did happen.
func (w *writing) find(ctx context.Context) (*pending, int64, error) {
	for _, p := range w.limbo {
		if seq, err := w.s.outcome(ctx, w.st.key, p); err != nil {
			return nil, 0, err
		} else if seq > 0 {
			return p, seq, nil
		}
	}
	return nil, 0, nil
}

// nothing ends a write that makes no commit: it is refused, or there is nothing to do. What was decided on a remembered
// head holds only if that one is the newest.
func (w *writing) nothing(ctx context.Context, remembered bool, why error) (Result, verdict, error) {
	if remembered {
		newest, err := w.s.confirm(ctx, w.st)
		if err != nil {
			return w.refused(ctx, err)
		}
		if !newest {
			return Result{}, overtaken, nil
		}
	}
	w.limbo = nil // made for a head that is not this one any more, or it would have been built again
	if why != nil {
		return Result{}, settled, why
	}
	// "It is so already" acknowledges somebody's commit, perhaps this client's, whose answer was lost.
	ctx, cancel := context.WithTimeout(ctx, w.s.cfg.ReadBack)
	defer cancel()
	if err := w.s.db.Tenant(w.st.key.schema).Confirm(ctx); err != nil {
		return Result{}, settled, err
	}
	return Result{CID: w.st.head.CID, Rev: w.st.head.Rev}, settled, nil
}

// commit sends what was built.
func (w *writing) commit(ctx context.Context, p *pending) (Result, verdict, error) {
	seq, err := w.s.commit(ctx, w.st.key.schema, p)
	switch {
	case err == nil && seq > 0:
		// The compare-and-set that we won is the one any in limbo needed.
		w.st.adopt(p)
		w.s.remember(w.st.key, p)
		return p.result(seq), settled, nil
	case err == nil:
		return Result{}, lost, nil
	case errors.Is(err, db.ErrUnknownOutcome):
		w.limbo = append(w.limbo, p)
		return Result{}, unanswered, nil
	}
	w.st.forget() // rolled back, but believe nothing after an error
	return w.refused(ctx, err)
}

// giveWay waits a little before a try that follows several lost ones, longer each time and never as long as the other
// process does: otherwise two processes that write to one repository without pause would keep losing to each other.
func giveWay(ctx context.Context, try int) error {
	if try < 3 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(time.Millisecond << min(try-2, 7))):
		return nil
	}
}

// build makes the commit, or nil if there is nothing to do or err says why not.
func (s *Store) build(ctx context.Context, st *state, opts Options, build func(v *View) ([]repo.Write, error)) (*pending, error) {
	h := st.head
	if opts.SwapCommit != nil && !opts.SwapCommit.Equals(h.CID) {
		return nil, ErrSwapCommit
	}
	q := s.db.Tenant(st.key.schema).Q()
	loader := newNodeLoader(ctx, q, st.key.aid)
	tree := st.tree.Clone(loader.load)
	defer func() { st.tree = tree.Clone(noNodes) }() // what it has loaded is worth keeping
	writes, err := build(&View{ctx: ctx, q: q, aid: st.key.aid, head: h, tree: tree, loader: loader})
	if err != nil || len(writes) == 0 {
		return nil, err
	}
	blobs, kept, err := checkBlobs(ctx, q, st.key.aid, writes)
	if err != nil {
		return nil, err
	}
	for i := range writes {
		loader.want(writes[i].Path)
	}
	now := s.now()
	c, err := repo.ApplyTree(h.Head, tree, writes, s.nextRev(h.Rev, now), h.signer)
	if errors.Is(err, repo.ErrNoChange) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &pending{
		aid:    st.key.aid,
		prev:   h.Rev,
		commit: c,
		head:   &head{Head: c.Head, block: c.Block, signer: h.signer, usage: h.usage},
		event:  firehose.NewCommit(st.key.aid, c, now),
		now:    now,
		done:   make(chan outcome, 1),
	}
	p.fill(writes)
	p.head.usage.have.Records += int64(p.records)
	p.head.usage.have.Bytes += p.bytes
	if err := s.checkQuota(ctx, st, opts.Quota, p); err != nil {
		return nil, err
	}
	if blobs {
		p.kept = kept
		if err := p.keepRefs(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// confirm tells whether what st remembers is the newest, and makes it so.
func (s *Store) confirm(ctx context.Context, st *state) (newest bool, err error) {
	h, err := s.loadHead(ctx, st.key)
	if err != nil {
		st.forget()
		return false, err
	}
	if h.CID.Equals(st.head.CID) {
		return true, nil
	}
	st.know(h)
	return false, nil
}

// outcome finds out about a commit that was sent and not answered: the number of its event, or 0 if it did not happen
// (yet). A commit that is still on its way in the server needs the head it was built on, so once another took that it
// is dead. One that is found is durable.
func (s *Store) outcome(ctx context.Context, key repoKey, p *pending) (int64, error) {
	// A client that went away must not leave its own write unknown to us; the database gets a while to come back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ReadBack)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		row, err := s.db.Tenant(key.schema).Q().GetCommitOutcome(ctx, tenantdb.GetCommitOutcomeParams{
			AID: key.aid, Rev: int64(p.commit.Head.Rev), Payload: p.event.Payload,
		})
		if err == nil && row.Seq > 0 {
			// It may be found because the server gave up waiting for its standby.
			if err := s.db.Tenant(key.schema).Confirm(ctx); err != nil {
				return 0, err
			}
		}
		if err == nil {
			return row.Seq, nil
		}
		if db.IsNoRows(err) {
			return 0, nil // the account is gone
		}
		if errors.Is(err, db.ErrGivenUp) {
			return 0, fmt.Errorf("%w: read back: %w", db.ErrUnknownOutcome, err)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: read back: %w", db.ErrUnknownOutcome, err)
		case <-time.After(wait):
		}
	}
}

// adopt makes st remember a commit that is known to be the newest.
func (st *state) adopt(p *pending) {
	st.head, st.tree = p.head, p.commit.Tree.Clone(noNodes)
}

func (p *pending) result(seq int64) Result {
	return Result{CID: p.commit.Head.CID, Rev: p.commit.Head.Rev, Seq: seq, Ops: p.commit.Ops, Changed: true}
}
