package firehose

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// What a tail reads at once.
const (
	tailEvents = 1000
	tailBytes  = 4 << 20
)

// tail reads one tenant's new events, once for all subscribers of the process.
type tail struct {
	tails  *Tails
	tenant *db.Tenant
	ready  chan struct{} // closed when there is a ring
	nudged chan struct{} // something is wanted
	wanted atomic.Int32  // a want

	refs int       // under Tails.mu
	idle time.Time // since when refs is 0, under Tails.mu

	ring atomic.Pointer[ring]

	repairing atomic.Int32 // step backs being mended
	decoded   atomic.Int64 // what the JSON takes that was made of the ring's events
	looks     atomic.Int64 // at the database
	told      atomic.Bool  // that a consumer has a number that was passed over

	// Only run uses these.
	bytes    int
	trail    []mark    // the newest events, those of no account too
	checked  time.Time // when the history was looked at last
	foreign  time.Time // when there was an event of another process last
	holeFrom int64     // behind which number a hole was seen
	holeAt   time.Time
	failing  bool
}

// ring is what subscribers see: the events from first to last that are not nothing. It is never changed; the next one
// shares its memory.
type ring struct {
	items []*Item
	first int64 // all events from here on are in items
	last  int64
	mark  mark          // of the event last
	next  chan struct{} // closed when there is a newer ring
	err   error         // the end
}

// after is where in items the events behind seq begin.
func (r *ring) after(seq int64) int {
	i, _ := slices.BinarySearchFunc(r.items, seq+1, func(it *Item, seq int64) int {
		switch {
		case it.Seq < seq:
			return -1
		case it.Seq > seq:
			return 1
		}
		return 0
	})
	return i
}

// publish replaces the ring and wakes who waits at the old one.
func (tl *tail) publish(r *ring) {
	old := tl.ring.Load()
	r.next = make(chan struct{})
	tl.ring.Store(r)
	if old != nil {
		close(old.next)
	}
}

func (tl *tail) run() {
	t := tl.tails
	ctx := t.life
	defer func() {
		t.drop(tl)
		if r := tl.ring.Load(); r != nil {
			tl.publish(&ring{first: r.first, last: r.last, mark: r.mark, err: ErrClosed})
		}
	}()
	// Before the first question, so that what is told from here on is behind its answer.
	watch := t.hub.Watch(tl.tenant.Schema())
	defer watch.Stop()
	if !tl.begin(ctx) {
		return
	}
	tl.follow(ctx, watch)
}

// begin finds out where the stream is; it goes on trying.
func (tl *tail) begin(ctx context.Context) bool {
	for wait := tl.tails.cfg.Poll; ; wait = min(2*wait, time.Second) {
		last, err := tl.tenant.Q().GetLastSeq(ctx)
		var st tenantdb.GetStreamStateRow
		if err == nil {
			st, err = tl.tenant.Q().GetStreamState(ctx, last)
		}
		if err == nil {
			at := mark{seq: last}
			if st.AtSeq == last && last > 0 {
				at = markAt(&st)
				tl.trail = append(tl.trail, at)
			}
			tl.publish(&ring{first: last + 1, last: last, mark: at})
			close(tl.ready)
			return true
		}
		if ctx.Err() != nil || tl.tails.abandoned(tl) {
			return false
		}
		if !tl.failing && !db.IsUnavailable(err) {
			tl.tails.log.Warn("stream cannot be read; subscribers wait", "schema", tl.tenant.Schema(), "err", err)
			tl.failing = true
		}
		sleep(ctx, wait)
	}
}

// look reads what is new. When a hint says that there is something, it does not ask first.
func (tl *tail) look(ctx context.Context, hinted bool) error {
	defer tl.looks.Add(1)
	r := tl.ring.Load()
	last, head := r.last, r.last
	if now := tl.tails.now(); !hinted || now.Sub(tl.checked) >= checkEvery || now.Before(tl.checked) {
		high, wrote := tl.tails.hub.highest(tl.tenant.Schema()), tl.tails.hub.wroteSoFar()
		st, err := tl.tenant.Q().GetStreamState(ctx, last)
		if err != nil {
			return err
		}
		first := tl.checked.IsZero() // of a tail: what was written before there was one
		if lacks(&st, r.mark) || (st.Promoted || high > st.LastSeq || first && tl.tails.hub.lost(tl.tenant.Schema(), &st, wrote)) && tl.repairing.Load() == 0 {
			tl.checked = now
			return errOtherHistory
		}
		tl.checked, head = now, st.LastSeq
	}
	for hinted || last < head {
		page, err := ListEvents(ctx, tl.tenant.Q(), last, tailEvents, tailBytes)
		if err != nil {
			return err
		}
		if len(page) > 0 && page[0].Kind == KindNothing && page[0].before() < last {
			return errOtherHistory // what is being read was passed over
		}
		fresh, upTo := tl.take(page, last, tl.tails.now())
		if upTo == last {
			return nil // a hole, or what was new is gone already: next time
		}
		tl.remember(page, upTo)
		for _, it := range fresh {
			tl.changed(it)
		}
		tl.extend(fresh, upTo)
		last, hinted = upTo, len(page) == tailEvents || weigh(page) >= tailBytes
	}
	return nil
}

// weigh is how many bytes a page has.
func weigh(page []Stored) (n int) {
	for i := range page {
		n += len(page[i].Payload)
	}
	return n
}

// take makes items of a page that follows seq, up to a hole.
func (tl *tail) take(page []Stored, seq int64, known time.Time) (fresh []*Item, upTo int64) {
	for i := range page {
		e := &page[i]
		if before := e.before(); before > seq && !tl.pass(seq, before, known) {
			return fresh, seq
		}
		switch {
		case e.Kind == KindNothing:
		case !e.whole():
			tl.tails.damaged(tl.tenant, e)
		default:
			fresh = append(fresh, newItem(e, known))
		}
		seq = e.Seq
	}
	return fresh, seq
}

// damaged reports an event that cannot be sent. Consumers see its number missing, and the commit in the next one's since.
func (t *Tails) damaged(tenant *db.Tenant, e *Stored) {
	t.log.Error("CORRUPTION: an event is damaged; subscribers miss it ('locus repo check' says more, a backup has it)", "schema", tenant.Schema(), "seq", e.Seq)
}

// before is the number that must have been the last one.
func (s *Stored) before() int64 {
	if s.Kind == KindNothing {
		return int64(s.Rev)
	}
	return s.Seq - 1
}

// pass decides on a hole. Numbers become visible in their order, so there is none unless something is badly wrong; it
// gets a while to fill, is reported either way, and then the stream goes on: consumers see the jump of seq, and the
// missing commit in the next one's since.
func (tl *tail) pass(from, to int64, now time.Time) bool {
	log := tl.tails.log.With("schema", tl.tenant.Schema(), "from", from+1, "to", to)
	if tl.holeFrom != from || tl.holeAt.IsZero() {
		tl.holeFrom, tl.holeAt = from, now
		log.Error("CORRUPTION: numbers of the stream have no event")
		return false
	}
	if waited := now.Sub(tl.holeAt); waited >= 0 && waited < tl.tails.cfg.HoleWait {
		return false
	}
	log.Error("CORRUPTION: numbers of the stream have no event; going on behind them, consumers miss events")
	tl.holeAt = time.Time{}
	return true
}

// extend puts new events into the ring.
func (tl *tail) extend(fresh []*Item, upTo int64) {
	old := tl.ring.Load()
	next := &ring{items: append(old.items, fresh...), first: old.first, last: upTo, mark: tl.trail[len(tl.trail)-1]}
	for _, it := range fresh {
		tl.bytes += it.weight()
		it.ring = &tl.decoded // nobody else has it yet
		if it.Kind == KindAccount {
			next = tl.forget(next, it)
		}
	}
	if tl.excess(next) > 0 {
		next = tl.shorter(next)
	}
	tl.publish(next)
}

// changed keeps replicas from answering with what was before an event that is about to be sent.
func (tl *tail) changed(it *Item) {
	aid := it.AID
	if it.Kind == KindAccount {
		aid = 0 // lists show states
	}
	tl.tenant.Changed(aid)
}

// forget takes the earlier events of an account that was deleted out of the ring, as they are out of the table.
func (tl *tail) forget(r *ring, it *Item) *ring {
	f, err := Decode(it.Frame())
	if err != nil || f.Active || f.Status != StatusDeleted {
		return r
	}
	kept := make([]*Item, 0, len(r.items))
	for _, old := range r.items {
		if old.AID == it.AID && old.Seq < it.Seq {
			tl.bytes -= old.weight()
			old.leave()
			continue
		}
		kept = append(kept, old)
	}
	return &ring{items: kept, first: r.first, last: r.last, mark: r.mark}
}

// excess is how many of the oldest events the ring has to let go. Once the ring is over its limit, an eighth more goes,
// so that the next event does not need it again.
func (tl *tail) excess(r *ring) int {
	c := &tl.tails.cfg
	share, most, bytes, n := tl.tails.share(), c.RingEvents, tl.bytes+int(tl.decoded.Load()), len(r.items)
	if bytes > share || n > most {
		share, most = share-share/8, most-most/8
	}
	old := tl.tails.now().Add(-c.RingAge)
	drop := 0
	for drop < n && (bytes > share || n-drop > most || r.items[drop].known.Before(old)) {
		bytes -= r.items[drop].weight() + r.items[drop].made()
		drop++
	}
	return drop
}

// shorter is the ring without its excess. Subscribers that were still there are too slow.
func (tl *tail) shorter(r *ring) *ring {
	drop := tl.excess(r)
	next := &ring{first: r.first, last: r.last, mark: r.mark, items: slices.Clone(r.items[drop:])}
	for _, it := range r.items[:drop] {
		tl.bytes -= it.weight()
		it.leave()
		next.first = it.Seq + 1
	}
	return next
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
