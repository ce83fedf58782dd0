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

// maxTries bounds how often one write is built. Each lost race means that
// somebody else's write went through, so even two are rare.
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

// Write commits what build asks for, all or nothing, and returns when the commit
// and its event are durable.
//
// build is called with the repository as it is; no writes mean no commit. It is
// called again if the repository turns out to have changed meanwhile, so it must
// do nothing but look and decide. Its errors are returned as they are, once the
// repository they were decided on is known to be the newest. It runs in no
// transaction: it may take its time, but other writes to the repository wait.
//
// Errors: ErrSwapCommit, ErrRepoNotFound, ErrRepoDeactivated, ErrRepoTakendown,
// ErrAccountQuota, ErrTenantQuota, those of repo.Apply and build; db.ErrUnavailable: nothing was written;
// db.ErrUnknownOutcome: the database went away and did not come back in time to
// tell whether the write happened.
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

func (s *Store) write(ctx context.Context, st *state, opts Options, build func(v *View) ([]repo.Write, error)) (_ Result, err error) {
	var limbo []*pending // commits of this write whose fate is not known
	defer func() {
		// "It did not happen" may only be said of a write none of whose commits can still happen in the server.
		if err != nil && len(limbo) > 0 && !errors.Is(err, db.ErrUnknownOutcome) {
			err = fmt.Errorf("%w: %w", db.ErrUnknownOutcome, err)
		}
	}()
	// A database that is away for a moment is no reason to leave a commit in limbo.
	again := func(err error) bool {
		return len(limbo) > 0 && db.IsUnavailable(err) && !errors.Is(err, db.ErrFull) && !errors.Is(err, db.ErrSlow) && !errors.Is(err, db.ErrGivenUp) && ctx.Err() == nil
	}
	for try := range maxTries {
		if err := giveWay(ctx, try); err != nil {
			return Result{}, err
		}
		fresh := st.head == nil
		if fresh {
			h, err := s.loadHead(ctx, st.key)
			// Asked after the head was read: a commit in limbo either shows in
			// what we build on, and is found here, or needs the head we build on
			// and is found out by the compare-and-set.
			for _, p := range limbo {
				if seq, err := s.outcome(ctx, st.key, p); err != nil {
					return Result{}, err
				} else if seq > 0 {
					return p.result(seq), nil
				}
			}
			if again(err) {
				continue
			}
			if err != nil {
				return Result{}, err
			}
			st.know(h)
		}
		p, err := s.build(ctx, st, opts, build)
		switch {
		case errors.Is(err, errStale), again(err):
			st.forget()
			continue
		case err != nil && (ctx.Err() != nil || db.IsUnavailable(err)):
			return Result{}, err
		case p == nil && !fresh:
			// A refusal or a no-op, decided on what we remember.
			if newest, err := s.confirm(ctx, st); again(err) {
				st.forget()
				continue
			} else if err != nil {
				return Result{}, err
			} else if !newest {
				continue
			}
			fallthrough
		case p == nil:
			limbo = nil // made for a head that is not this one any more, or it would have been built again
			if err != nil {
				return Result{}, err
			}
			// "It is so already" acknowledges somebody's commit, perhaps this client's, whose answer was lost.
			if err := s.confirmed(ctx, st.key.schema); err != nil {
				return Result{}, err
			}
			return Result{CID: st.head.CID, Rev: st.head.Rev}, nil
		}
		seq, err := s.commit(st.key.schema, p)
		switch {
		case err == nil && seq > 0:
			// The compare-and-set that we won is the one any in limbo needed.
			st.adopt(p)
			return p.result(seq), nil
		case errors.Is(err, db.ErrUnknownOutcome):
			limbo = append(limbo, p)
		case again(err):
		case err != nil:
			st.forget() // rolled back, but believe nothing after an error
			return Result{}, err
		}
		st.forget()
	}
	return Result{}, ErrContention
}

// giveWay waits a little before a try that follows several lost ones, longer each time and never as long as the other
// process does: two that write to one repository without pause would else keep losing to each other.
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

// outcome finds out about a commit that was sent and not answered: the number of
// its event, or 0 if it did not happen (yet). A commit that is still on its way
// in the server needs the head it was built on, so once another took that it is
// dead. One that is found is durable.
func (s *Store) outcome(ctx context.Context, key repoKey, p *pending) (int64, error) {
	// A client that went away must not leave its own write unknown to us; the
	// database gets a while to come back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ReadBack)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		row, err := s.db.Tenant(key.schema).Q().GetCommitOutcome(ctx, tenantdb.GetCommitOutcomeParams{
			AID: key.aid, Rev: int64(p.commit.Head.Rev), Payload: p.event.Payload,
		})
		if err == nil && row.Seq > 0 {
			// It may be found because the server gave up waiting for its standby.
			if err := s.confirmed(ctx, key.schema); err != nil {
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

// confirmed returns when what was read back is durable; ErrUnknownOutcome: that is
// not known.
func (s *Store) confirmed(ctx context.Context, schema db.Schema) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadBack)
	defer cancel()
	err := s.db.Tenant(schema).Confirm(ctx)
	if err != nil && !errors.Is(err, db.ErrUnknownOutcome) {
		err = fmt.Errorf("%w: %w", db.ErrUnknownOutcome, err)
	}
	return err
}

// adopt makes st remember a commit that is known to be the newest.
func (st *state) adopt(p *pending) {
	st.head, st.tree = p.head, p.commit.Tree.Clone(noNodes)
}

func (p *pending) result(seq int64) Result {
	return Result{CID: p.commit.Head.CID, Rev: p.commit.Head.Rev, Seq: seq, Ops: p.commit.Ops, Changed: true}
}
