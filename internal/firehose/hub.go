package firehose

import (
	"context"
	"sync"

	"github.com/auroralocus/locus/db"
)

// Hub wakes those in this process who wait for a tenant's next event. It is a
// hint: events of other processes are found by reading stream_head.
type Hub struct {
	mu    sync.Mutex
	heads map[db.Schema]*hubHead
}

type hubHead struct {
	seq    int64
	waiter int
	news   chan struct{} // closed by the next Notify
}

// NewHub makes a hub nobody waits at.
func NewHub() *Hub { return &Hub{heads: map[db.Schema]*hubHead{}} }

// Notify says that seq was committed. It never blocks.
func (h *Hub) Notify(s db.Schema, seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.heads[s]
	if e == nil {
		return // nobody waits
	}
	if seq > e.seq {
		e.seq = seq
		close(e.news)
		e.news = make(chan struct{})
	}
}

// Wait returns when an event after seq is known in this process, or with ctx's
// error. Events committed before the first Wait of a tenant are not known: read
// the table between Waits, and give ctx a deadline to find others' events.
func (h *Hub) Wait(ctx context.Context, s db.Schema, seq int64) error {
	h.mu.Lock()
	e := h.heads[s]
	if e == nil {
		e = &hubHead{news: make(chan struct{})}
		h.heads[s] = e
	}
	e.waiter++
	defer func() {
		h.mu.Lock()
		if e.waiter--; e.waiter == 0 {
			delete(h.heads, s)
		}
		h.mu.Unlock()
	}()
	for e.seq <= seq {
		news := e.news
		h.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
		h.mu.Lock()
	}
	h.mu.Unlock()
	return nil
}
