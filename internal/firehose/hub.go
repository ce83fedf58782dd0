package firehose

import (
	"slices"
	"sync"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
)

// Hub wakes those in this process who want to know of a tenant's next event, and has other processes told ([Notes]). It
// is a hint: what counts is stream_head. A tenant is known by the name of its schema, which stays when it moves to another
// database.
type Hub struct {
	mu      sync.Mutex
	watches map[string][]*Watch
	high    map[string]int64     // the newest number committed here
	wrote   map[string][]written // the newest commits of repositories made here
	writes  int64                // how many were made
	changed func(db.Schema, int64)
	notes   *Notes // nil: other processes find out by themselves
}

// NewHub makes a hub nobody listens to.
func NewHub() *Hub {
	return &Hub{watches: map[string][]*Watch{}, high: map[string]int64{}, wrote: map[string][]written{}}
}

// Tell has other processes told by notes. It is set before anything is written.
func (h *Hub) Tell(notes *Notes) { h.notes = notes }

// OnChange sets what is told of every event of every tenant. It must not block, and it is set before anything is
// written.
func (h *Hub) OnChange(f func(s db.Schema, seq int64)) { h.changed = f }

// Watch has something in C when there were events since it was last received from.
type Watch struct {
	C      <-chan struct{}
	c      chan struct{}
	hub    *Hub
	schema string
}

// Watch begins to listen to a tenant.
func (h *Hub) Watch(s db.Schema) *Watch {
	w := &Watch{c: make(chan struct{}, 1), hub: h, schema: s.String()}
	w.C = w.c
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches[w.schema] = append(h.watches[w.schema], w)
	return w
}

// Stop ends listening.
func (w *Watch) Stop() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := slices.DeleteFunc(h.watches[w.schema], func(other *Watch) bool { return other == w })
	if len(rest) == 0 {
		delete(h.watches, w.schema)
	} else {
		h.watches[w.schema] = rest
	}
}

// Notify says that seq was committed. It never blocks.
func (h *Hub) Notify(s db.Schema, seq int64) {
	if h.changed != nil {
		h.changed(s, seq)
	}
	h.mu.Lock()
	h.high[s.String()] = max(h.high[s.String()], seq)
	h.wake(s)
	h.mu.Unlock()
	h.notes.add(s.String(), seq)
}

// Doubt says that something may have been committed: the answer is missing, or it was done by other means. It never
// blocks.
func (h *Hub) Doubt(s db.Schema) {
	h.mu.Lock()
	h.wake(s)
	h.mu.Unlock()
	h.notes.add(s.String(), anyway)
}

// wake is called with the lock held.
func (h *Hub) wake(s db.Schema) {
	for _, w := range h.watches[s.String()] {
		select {
		case w.c <- struct{}{}:
		default: // it is told already
		}
	}
}

// highest is the newest number that this process has committed, or 0.
func (h *Hub) highest(s db.Schema) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.high[s.String()]
}

// maxWrote is how many commits made here are known again, for each tenant: those that a tail may not have read yet, and
// the newest of a tenant that has none.
const maxWrote = 256

// written is a commit made here, and the how manyth it was.
type written struct {
	mark
	n int64
}

// Wrote notes a commit that was acknowledged here, so that it is known if the database loses it.
func (h *Hub) Wrote(s db.Schema, seq, aid int64, rev repo.TID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.wrote[s.String()]
	if len(list) >= 2*maxWrote {
		list = list[:copy(list, list[len(list)-maxWrote:])]
	}
	h.writes++
	h.wrote[s.String()] = append(list, written{mark{seq: seq, aid: aid, rev: int64(rev), kind: KindCommit}, h.writes})
}

// wroteSoFar is what lost and takeLost take. It is asked for before the database is: a commit that is noted after the
// question may be newer than the answer, which does not show that it is lost.
func (h *Hub) wroteSoFar() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes
}

// lostFrom tells that the database has not given out the commit's number: it is behind it, or it was passed over.
func (w written) lostFrom(st *tenantdb.GetStreamStateRow, before int64) bool {
	return w.n <= before && (w.seq > st.LastSeq || w.seq > st.JumpedFrom && w.seq <= st.JumpedTo)
}

// takeLost removes and gives the commits made here, up to one, that the database lost.
func (h *Hub) takeLost(s db.Schema, st *tenantdb.GetStreamStateRow, before int64) (lost []mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrote[s.String()] = slices.DeleteFunc(h.wrote[s.String()], func(w written) bool {
		gone := w.lostFrom(st, before)
		if gone {
			lost = append(lost, w.mark)
		}
		return gone
	})
	return lost
}

// lost tells whether there are any.
func (h *Hub) lost(s db.Schema, st *tenantdb.GetStreamStateRow, before int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.wrote[s.String()], func(w written) bool { return w.lostFrom(st, before) })
}
