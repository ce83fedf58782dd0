package firehose

import (
	"slices"
	"sync"

	"github.com/auroralocus/locus/db"
)

// Hub wakes those in this process who want to know of a tenant's next event. It is
// a hint: events of other processes are found by reading stream_head.
type Hub struct {
	mu      sync.Mutex
	watches map[db.Schema][]*Watch
	changed func(db.Schema, int64)
}

// NewHub makes a hub nobody listens to.
func NewHub() *Hub { return &Hub{watches: map[db.Schema][]*Watch{}} }

// OnChange sets what is told of every event of every tenant. It must not block,
// and it is set before anything is written.
func (h *Hub) OnChange(f func(s db.Schema, seq int64)) { h.changed = f }

// Watch has something in C when there were events since it was last received
// from.
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
	for _, w := range h.watches[s] {
		select {
		case w.c <- struct{}{}:
		default: // it is told already
		}
	}
}
