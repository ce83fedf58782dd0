package firehose

import (
	"slices"
	"sync"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
)

// Hub wakes those in this process who want to know of a tenant's next event. It is a hint: events of other processes
// are found by reading stream_head.
type Hub struct {
	mu      sync.Mutex
	watches map[db.Schema][]*Watch
	high    map[db.Schema]int64  // the newest number committed here
	wrote   map[db.Schema][]mark // the newest commits of repositories made here
	changed func(db.Schema, int64)
}

// NewHub makes a hub nobody listens to.
func NewHub() *Hub {
	return &Hub{watches: map[db.Schema][]*Watch{}, high: map[db.Schema]int64{}, wrote: map[db.Schema][]mark{}}
}

// OnChange sets what is told of every event of every tenant. It must not block, and it is set before anything is
// written.
func (h *Hub) OnChange(f func(s db.Schema, seq int64)) { h.changed = f }

// Watch has something in C when there were events since it was last received from.
type Watch struct {
	C      <-chan struct{}
	c      chan struct{}
	hub    *Hub
	schema db.Schema
}

// Watch begins to listen to a tenant.
func (h *Hub) Watch(s db.Schema) *Watch {
	w := &Watch{c: make(chan struct{}, 1), hub: h, schema: s}
	w.C = w.c
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches[s] = append(h.watches[s], w)
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
	defer h.mu.Unlock()
	h.high[s] = max(h.high[s], seq)
	for _, w := range h.watches[s] {
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
	return h.high[s]
}

// maxWrote is how many commits made here are known again, for each tenant: those that a tail may not have read yet, and
// the newest of a tenant that has none.
const maxWrote = 256

// Wrote notes a commit that was acknowledged here, so that it is known if the database loses it.
func (h *Hub) Wrote(s db.Schema, seq, aid int64, rev repo.TID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.wrote[s]
	if len(list) >= 2*maxWrote {
		list = list[:copy(list, list[len(list)-maxWrote:])]
	}
	h.wrote[s] = append(list, mark{seq: seq, aid: aid, rev: int64(rev), kind: KindCommit})
}

// takeLost removes and gives the commits made here whose numbers the database has not given out: it is behind them, or
// they were passed over.
func (h *Hub) takeLost(s db.Schema, st *tenantdb.GetStreamStateRow) (lost []mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrote[s] = slices.DeleteFunc(h.wrote[s], func(m mark) bool {
		gone := m.seq > st.LastSeq || m.seq > st.JumpedFrom && m.seq <= st.JumpedTo
		if gone {
			lost = append(lost, m)
		}
		return gone
	})
	return lost
}

// lost tells whether there are any.
func (h *Hub) lost(s db.Schema, st *tenantdb.GetStreamStateRow) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.wrote[s], func(m mark) bool {
		return m.seq > st.LastSeq || m.seq > st.JumpedFrom && m.seq <= st.JumpedTo
	})
}
