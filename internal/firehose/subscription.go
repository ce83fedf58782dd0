package firehose

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/fair"
)

// From says where a subscription begins. The zero value is the live end.
type From struct {
	// Seq, if HasSeq, is the last number the subscriber has; 0 is before everything that is kept.
	Seq    int64
	HasSeq bool
	// TimeUS, if HasTime, is the time of the first event wanted. One in the future is the live end.
	TimeUS  int64
	HasTime bool
	// Window is how far back events are given out; 0: as far as they are kept.
	Window time.Duration
	// For is for whom old events are read; nil: the tenant.
	For fair.Path
}

// Subscription hands out a tenant's events one after the other. It belongs to one goroutine.
type Subscription struct {
	tail     *tail
	pos      int64 // the number handed out last, or passed over
	live     bool  // was at the end once: from now on the ring is the limit
	Outdated bool  // began later than asked, because the events between are gone
	page     []*Item
	handed   atomic.Int64 // pos, for Stats
	path     fair.Path    // whose turn it is to read a page
}

// Subscribe begins a subscription. Close it.
//
// Errors: ErrFutureCursor, ErrClosed, and that the database cannot be asked.
func (t *Tails) Subscribe(ctx context.Context, schema db.Schema, from From) (*Subscription, error) {
	tl, err := t.follow(ctx, schema)
	if err != nil {
		return nil, err
	}
	s := &Subscription{tail: tl, path: from.For}
	if len(s.path) == 0 {
		s.path = fair.Path{schema.String()}
	}
	if err := s.begin(ctx, from); err != nil {
		s.Close()
		return nil, fmt.Errorf("subscribe to %s: %w", schema, err)
	}
	s.handed.Store(s.pos)
	t.mu.Lock()
	t.subs[s] = struct{}{}
	t.mu.Unlock()
	return s, nil
}

// Close ends the subscription.
func (s *Subscription) Close() {
	t := s.tail.tails
	t.mu.Lock()
	delete(t.subs, s)
	t.mu.Unlock()
	t.leave(s.tail)
}

func (s *Subscription) begin(ctx context.Context, from From) error {
	r := s.tail.ring.Load()
	s.pos = r.last
	if !from.HasTime && !from.HasSeq {
		return nil
	}
	r, st := s.tail.settled(ctx)
	s.pos = r.last
	// Numbers were passed over behind it, here or in an earlier jump: what is known of them is in the table alone.
	passedOver := st != nil && from.Seq < st.JumpedTo
	switch {
	case from.HasTime:
		return s.beginAt(ctx, from)
	case from.Seq >= r.first-1 && from.Seq <= r.last && !passedOver:
		s.pos = from.Seq // younger than the ring's age: inside any window
		return nil
	}
	q := s.tail.tenant.Q()
	// One statement: an event that comes between two questions must not be taken for one that is gone.
	next, err := q.GetStreamState(ctx, max(from.Seq, 0)+1)
	switch {
	case err != nil:
		return err
	case from.Seq > next.LastSeq: // another node's subscriber may be ahead of what this one has read
		return ErrFutureCursor
	case next.AtSeq == 0:
		// Nothing behind the cursor is kept, so all there was is gone, or there was nothing.
		s.pos, s.Outdated = next.LastSeq, from.Seq != 0 && from.Seq < next.LastSeq
		return nil
	}
	at := markAt(&next)
	before := at.seq - 1
	if at.kind == KindNothing {
		before = at.rev
	}
	s.pos = max(from.Seq, 0)
	if at.kind == KindNothing && before < from.Seq {
		// The cursor's number was given out in a history that the database does not have. Nobody knows which other
		// events of that history the consumer has.
		s.Outdated = true
		if !s.tail.told.Swap(true) {
			s.tail.tails.log.Warn("a consumer asks for what is behind an event that this database does not have; it is told that it may have missed some", "schema", s.tail.tenant.Schema(), "cursor", from.Seq)
		}
	}
	if cut := s.cutoff(from); at.us < cut {
		if s.pos, err = beforeTime(ctx, q, cut); err != nil {
			return err
		}
		s.Outdated = from.Seq != 0
	} else if before > s.pos {
		s.pos, s.Outdated = before, from.Seq != 0
	}
	return nil
}

func (s *Subscription) cutoff(from From) int64 {
	if from.Window <= 0 {
		return 0
	}
	return s.tail.tails.now().Add(-from.Window).UnixMicro()
}

// beginAt begins with the first event at or after a time.
func (s *Subscription) beginAt(ctx context.Context, from From) error {
	pos, err := beforeTime(ctx, s.tail.tenant.Q(), max(from.TimeUS-(OpTimes-1), s.cutoff(from)))
	if err == nil {
		s.pos = pos
	}
	return err
}

// beforeTime finds the number before the first event whose time is us or later: the newest, if there is none. Times
// rise with numbers, so it halves.
func beforeTime(ctx context.Context, q *tenantdb.Queries, us int64) (int64, error) {
	last, err := q.GetLastSeq(ctx)
	if err != nil {
		return 0, err
	}
	first, err := q.GetEventAfter(ctx, 0)
	if db.IsNoRows(err) {
		return last, nil
	}
	if err != nil {
		return 0, err
	}
	// Behind low there may be an event that is too early; behind high there is none.
	low, high := first.Seq-1, last
	for low < high {
		middle := low + (high-low)/2
		e, err := q.GetEventAfter(ctx, middle)
		switch {
		case db.IsNoRows(err):
			high = middle
		case err != nil:
			return 0, err
		case e.TimeUs < us:
			low = e.Seq
		default:
			high = middle
		}
	}
	return low, nil
}

// What Next hands out at once: a consumer has to take it in the time of one write.
const (
	maxBatch      = 128
	maxBatchBytes = 1 << 20 // one event may be longer
)

// Next hands out the next events, waiting for one. It returns none when kick has something, or may have. The slice is
// the caller's to read until the next call.
//
// Errors: ErrTooSlow, ErrClosed, ctx's.
func (s *Subscription) Next(ctx context.Context, kick <-chan struct{}) ([]*Item, error) {
	items, err := s.next(ctx, kick)
	s.handed.Store(s.pos)
	if s.tail.tails.sent.Add(int64(len(items))); errors.Is(err, ErrTooSlow) {
		s.tail.tails.tooSlow.Add(1)
	}
	return items, err
}

func (s *Subscription) next(ctx context.Context, kick <-chan struct{}) ([]*Item, error) {
	for {
		r := s.tail.ring.Load()
		if r.err != nil {
			return nil, r.err
		}
		if s.pos < r.first-1 {
			if s.live {
				return nil, ErrTooSlow
			}
			err := s.readPage(ctx)
			if errors.Is(err, fair.ErrNoPlace) {
				return nil, nil
			}
			if err != nil || len(s.page) > 0 {
				return s.page, err
			}
			continue
		}
		s.page = nil
		if i := r.after(s.pos); i < len(r.items) {
			n, bytes := 0, 0
			for _, it := range r.items[i:min(i+maxBatch, len(r.items))] {
				if bytes += len(it.wire); bytes > maxBatchBytes && n > 0 {
					break
				}
				n++
			}
			s.pos = r.items[i+n-1].Seq
			return r.items[i : i+n], nil
		}
		s.pos, s.live = max(s.pos, r.last), true
		s.handed.Store(s.pos)
		select {
		case <-r.next:
		case <-kick:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// readPage reads what follows from the table. A subscriber that far behind waits its turn, and those who are live must
// not feel it. ErrNoPlace: it may ask again.
func (s *Subscription) readPage(ctx context.Context) error {
	t := s.tail.tails
	turn, err := t.readers.Take(ctx, s.path...)
	switch {
	case ctx.Err() != nil:
		turn.Release()
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	rows, err := ListEvents(ctx, s.tail.tenant.Q(), s.pos, t.cfg.PageEvents, t.cfg.PageBytes)
	turn.Release()
	s.page = s.page[:0]
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		sleep(ctx, time.Second) // the tail says so in the log
		return nil
	}
	known := t.now()
	for i := range rows {
		e := &rows[i]
		if before := e.before(); before > s.pos {
			if i == 0 && s.cut(ctx, e.Seq) {
				return ErrTooSlow // retention has overtaken it
			}
			t.log.Error("CORRUPTION: numbers of the stream have no event; a subscriber misses them", "schema", s.tail.tenant.Schema(), "from", s.pos+1, "to", before)
		}
		s.pos = e.Seq
		switch {
		case e.Kind == KindNothing:
		case !e.whole():
			t.damaged(s.tail.tenant, e)
		default:
			s.page = append(s.page, newItem(e, known))
		}
	}
	if len(rows) == 0 {
		// Everything up to the ring was dropped by retention, which is much younger than a minute.
		return ErrTooSlow
	}
	return nil
}

// cut tells whether seq is the oldest event kept.
func (s *Subscription) cut(ctx context.Context, seq int64) bool {
	e, err := s.tail.tenant.Q().GetEventAfter(ctx, 0)
	return err == nil && e.Seq == seq
}
