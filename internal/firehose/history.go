package firehose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// A database may lack events that were sent: a standby was promoted that had not received them, or a backup was
// restored. Then the numbers behind the last one it has would be given out again, for other events.
//
// Two things keep that from consumers. Whoever takes a number on another timeline of the server than the last one
// passes over JumpBy numbers in the same statement (queries/tenant/stream_head.sql), so a promotion cannot give any out
// twice, whether or not somebody is looking. And each process compares the newest event it has seen with the one the
// database has under this number, at every look and for every cursor. When that is another one it finds out which
// events are gone, takes them out of memory, passes over all numbers that were seen, and has the accounts concerned
// told anew.

// JumpBy is how many numbers are passed over when the history changed: more than can be under way to a standby. The
// statements in queries/tenant/ know it too.
const JumpBy = 1_000_000

const (
	// maxTrail is how many of the newest events of a tenant a process knows again: those that it can say were lost.
	maxTrail = 1 << 16
	// markBytes is what one of them takes; a trail has no more than a ring's share.
	markBytes = 40
	// checkEvery is how often the history is looked at while hints spare the question.
	checkEvery = time.Second
	// maxLostActors bounds the accounts that are told anew after one step back.
	maxLostActors = 100_000
	// settleWait is how long a subscriber waits until a step back is known in full.
	settleWait = 5 * time.Second
)

// errOtherHistory: the database does not have what was seen.
var errOtherHistory = errors.New("the database has another history")

// mark is what an event is known by.
type mark struct {
	seq, us, aid, rev int64
	size              int32
	kind              Kind
}

func markOf(e *Stored) mark {
	return mark{seq: e.Seq, us: e.TimeUS, aid: e.AID, rev: int64(e.Rev), size: int32(len(e.Payload)), kind: e.Kind}
}

// markAt is the event that the database has at a number.
func markAt(st *tenantdb.GetStreamStateRow) mark {
	return mark{seq: st.AtSeq, us: st.AtUs, aid: st.AtAID, rev: st.AtRev, size: st.AtSize, kind: Kind(st.AtKind)}
}

// lacks tells that the database never had the event m, or lost it; st is the stream's state at its number. Events that
// retention dropped, or that were emptied because their account was deleted, do not count as lacking.
func lacks(st *tenantdb.GetStreamStateRow, m mark) bool {
	at := markAt(st)
	switch {
	case m.seq > st.LastSeq:
		return true
	case at.seq == m.seq && m.us != 0:
		return at.us != m.us || at.kind != KindNothing && at != m
	case at.seq > m.seq && at.kind == KindNothing:
		return at.rev < m.seq // passed over
	}
	return false
}

// Lost is what a step back took away, as far as this process knows.
type Lost struct {
	Schema   db.Schema
	Timeline string // of the database now
	// From and To are the first and the last number that were seen and are gone.
	From, To int64
	Events   int // of them that are known
	// Complete is false if there are lost events that are not known: the process saw them too long ago.
	Complete bool
	// Again is how many of the numbers the database gave out a second time.
	Again int64
	// Behind is the last number passed over. The events that tell consumers of the accounts anew have higher ones.
	Behind int64
	// Actors are the accounts of lost events and of those whose numbers were given out again.
	Actors []LostActor
}

// LostActor is an account whose consumers know what the database does not.
type LostActor struct {
	AID int64
	DID string // "" if only the number of the account is known
	Rev int64  // the newest revision that was lost, or 0
}

// repair is a step back that was found, until it is mended.
type repair struct {
	from, seen int64 // the newest number that was seen and is there; the newest that was seen
	complete   bool
	lost       []mark
	dids       map[int64]string
}

// remember adds events to the trail, up to a number.
func (tl *tail) remember(page []Stored, upTo int64) {
	for i := range page {
		if page[i].Seq <= upTo {
			tl.trail = append(tl.trail, markOf(&page[i]))
		}
	}
	if most := min(maxTrail, tl.tails.share()/markBytes); len(tl.trail) > most+most/8 {
		tl.trail = slices.Clone(tl.trail[len(tl.trail)-most:])
	}
}

// stepBack finds out which of the events seen are gone, takes them out of the ring, and has the rest done beside the
// tail, which goes on.
func (tl *tail) stepBack(ctx context.Context) error {
	q := tl.tenant.Q()
	high, wrote := tl.tails.hub.highest(tl.tenant.Schema()), tl.tails.hub.wroteSoFar() // before the question: what was committed since is in its answer
	// Histories part once: all before is in both, all behind in one.
	low, end := 0, len(tl.trail)
	for low < end {
		middle := low + (end-low)/2
		st, err := q.GetStreamState(ctx, tl.trail[middle].seq)
		if err != nil {
			return err
		}
		if lacks(&st, tl.trail[middle]) {
			end = middle
		} else {
			low = middle + 1
		}
	}
	now, err := q.GetStreamState(ctx, 0)
	if err != nil {
		return err
	}
	old := tl.ring.Load()
	r := &repair{from: old.last, seen: old.last, complete: low > 0 || len(tl.trail) == 0, lost: slices.Clone(tl.trail[low:]), dids: map[int64]string{}}
	at := old.mark
	switch {
	case low > 0 && low < len(tl.trail):
		at = tl.trail[low-1]
		r.from = at.seq
	case low == 0 && len(tl.trail) > 0:
		r.from = min(tl.trail[0].seq-1, now.LastSeq)
		at = mark{seq: r.from}
	}
	whole := r.seen == r.from                              // nothing of what was read here is lost
	if now.JumpedFrom < r.from && r.from <= now.JumpedTo { // passed over by whoever restored a backup
		r.from = now.JumpedFrom
		at = mark{seq: r.from}
	}
	cut := r.from
	// Written here, and perhaps sent by others.
	written := tl.tails.hub.takeLost(tl.tenant.Schema(), &now, wrote)
	if len(written) > 0 && whole {
		r.from = min(r.from, now.LastSeq)
		if now.JumpedTo >= written[len(written)-1].seq {
			r.from = now.JumpedFrom
		}
		r.seen = r.from
	}
	known := r.seen
	for _, m := range written {
		if m.seq > known {
			r.lost, r.seen = append(r.lost, m), max(r.seen, m.seq)
		}
	}
	if high > now.LastSeq && high > r.seen { // an event of an account: whose is not known
		r.seen, r.complete = high, false
	}
	next := &ring{items: old.items[:old.after(cut)], first: min(old.first, cut+1), last: cut, mark: at}
	for _, it := range old.items[len(next.items):] {
		tl.bytes -= it.weight()
		it.leave()
		if f, err := Decode(it.Frame()); err == nil {
			r.dids[it.AID] = f.DID
		}
	}
	next.items = slices.Clip(next.items) // the next event must not be written over a ghost that somebody still reads
	tl.trail = tl.trail[:low:low]
	tl.publish(next)
	tl.repairing.Add(1)
	tl.tails.running.Go(func() {
		defer tl.repairing.Add(-1)
		tl.tails.mend(tl.tenant, r)
	})
	return nil
}

// mend goes on until it has succeeded or the process ends.
func (t *Tails) mend(tenant *db.Tenant, r *repair) {
	failed := false
	for wait := 100 * time.Millisecond; t.life.Err() == nil; wait = min(2*wait, 10*time.Second) {
		err := t.mendOnce(t.life, tenant, r)
		if err == nil || t.life.Err() != nil {
			return
		}
		if !failed && !db.IsUnavailable(err) {
			t.log.Error("a step back of the stream cannot be mended yet", "schema", tenant.Schema(), "err", err)
		}
		failed = true
		sleep(t.life, wait)
	}
}

func (t *Tails) mendOnce(ctx context.Context, tenant *db.Tenant, r *repair) error {
	var from, behind int64
	gone := r.seen > r.from
	jumped := false
	err := tenant.Tx(ctx, func(q *tenantdb.Queries) error {
		st, err := q.LockStream(ctx)
		if err != nil {
			return err
		}
		from, behind = st.JumpedFrom, st.JumpedTo
		// Another process, or whoever took a number, may have done it.
		if jumped = st.Promoted || gone && st.JumpedTo < r.seen; !jumped {
			return nil
		}
		from, behind, err = jump(ctx, q, r.seen, JumpBy, t.now())
		return err
	})
	if err != nil {
		return fmt.Errorf("pass over numbers that were seen: %w", err)
	}
	if jumped {
		t.hub.Notify(tenant.Schema(), behind)
	}
	st, err := tenant.Q().GetStreamState(ctx, 0)
	if err != nil {
		return err
	}
	log := t.log.With("schema", tenant.Schema(), "timeline", st.Timeline, "next_event", behind+1)
	if !gone {
		if jumped {
			log.Warn("the database has begun a new timeline: a standby was promoted, or a backup restored; numbers were passed over, and nothing that was sent from here is missing")
		}
		return nil
	}
	lost := Lost{
		Schema: tenant.Schema(), Timeline: st.Timeline, From: r.from + 1, To: r.seen, Events: len(r.lost), Complete: r.complete,
		Again: max(0, min(from, r.seen)-r.from), Behind: behind,
	}
	if lost.Actors, err = r.actors(ctx, tenant.Q(), from); err != nil {
		return err
	}
	log.Error("EVENTS LOST: the database lacks events that were sent: a standby was promoted, or a backup restored, that did not have them",
		"from", lost.From, "to", lost.To, "known", lost.Events, "all_known", lost.Complete, "numbers_given_out_again", lost.Again, "accounts", len(lost.Actors))
	if t.cfg.StepBack == nil {
		return nil
	}
	return t.cfg.StepBack(ctx, lost)
}

// actors are the accounts of lost events, and the accounts of the events that have got their numbers.
func (r *repair) actors(ctx context.Context, q *tenantdb.Queries, upTo int64) ([]LostActor, error) {
	known := map[int64]*LostActor{}
	for _, m := range r.lost {
		if m.kind == KindNothing {
			continue
		}
		a := known[m.aid]
		if a == nil {
			a = &LostActor{AID: m.aid, DID: r.dids[m.aid]}
			known[m.aid] = a
		}
		a.Rev = max(a.Rev, m.rev)
	}
	if upTo > r.from {
		aids, err := q.ListEventActors(ctx, tenantdb.ListEventActorsParams{AfterSeq: r.from, UpTo: upTo, MaxRows: maxLostActors})
		if err != nil {
			return nil, fmt.Errorf("whose numbers were given out again: %w", err)
		}
		for _, aid := range aids {
			if known[aid] == nil {
				known[aid] = &LostActor{AID: aid}
			}
		}
	}
	out := make([]LostActor, 0, len(known))
	for _, a := range known {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b LostActor) int { return cmp.Compare(a.AID, b.AID) })
	return out[:min(len(out), maxLostActors)], nil
}

// jump passes over numbers inside a transaction: the last one that was given out, and the last one passed over.
func jump(ctx context.Context, q *tenantdb.Queries, seen, by int64, at time.Time) (from, to int64, err error) {
	row, err := q.UpdateStreamJumped(ctx, tenantdb.UpdateStreamJumpedParams{By: by, Seen: seen, NowUs: at.UnixMicro()})
	if err != nil {
		return 0, 0, err
	}
	err = q.InsertJump(ctx, tenantdb.InsertJumpParams{Seq: row.JumpedTo, First: row.JumpedFrom + 1, At: at, TimeUs: row.LastUs})
	return row.JumpedFrom, row.JumpedTo, err
}

// settled is the ring once it is known to be of the database's history. A database that cannot be asked is not waited
// for: subscribers read on from memory.
func (tl *tail) settled(ctx context.Context) (*ring, *tenantdb.GetStreamStateRow) {
	for deadline := time.Now().Add(settleWait); ; {
		r := tl.ring.Load()
		st, err := tl.tenant.Q().GetStreamState(ctx, r.last)
		switch {
		case err != nil || r.err != nil:
			return r, nil
		case !st.Promoted && !lacks(&st, r.mark) || time.Now().After(deadline):
			return r, &st
		}
		select {
		case <-r.next:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return r, nil
		}
	}
}
