package limit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrNoBytes: an answer got no memory in time.
var ErrNoBytes = errors.New("no memory for the answer within the time it may wait")

// How long an answer may wait for memory, and how many may at once for one first scope (a tenant) and for one whole path
// (an address at a tenant): a request that waits holds memory, too.
const (
	bytesWait    = 5 * time.Second
	waitingFirst = 256
	waitingWhole = 32
)

// Bytes is an amount of memory that many share, fairly by a path of scopes: a tenant, at it a network, in it an address.
// No scope ever takes the last of what its parent has: what it holds may be at most as much as what is left to its
// siblings. So one tenant alone has half of all, two have a third each, and whoever comes finds as much as each of those
// has that are there; the same inside a tenant. It is safe for concurrent use.
type Bytes struct {
	size int64

	mu      sync.Mutex
	root    share
	waiting []*waiter // the longest waiting first
	first   map[string]int
}

// share is what one scope holds.
type share struct {
	parent   *share
	key      string
	used     int64
	waiting  int
	children map[string]*share
}

// Hold is a part of the memory. The zero pointer holds nothing, and all its methods do nothing.
type Hold struct {
	b    *Bytes
	leaf *share
	n    int64
}

type waiter struct {
	hold  *Hold
	first string
	n     int64
	ready chan struct{} // closed when the hold has n
	got   bool
}

// NewBytes shares size bytes.
func NewBytes(size int64) *Bytes { return &Bytes{size: size, first: map[string]int{}} }

// Used is how much is held now.
func (b *Bytes) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.root.used
}

// Take waits for n bytes in the name of the path: ErrNoBytes if there are none in time.
func (b *Bytes) Take(ctx context.Context, n int64, path ...string) (*Hold, error) {
	b.mu.Lock()
	leaf := b.find(path)
	h := &Hold{b: b, leaf: leaf}
	if leaf.waiting == 0 && leaf.fits(n, b.size) {
		h.add(n)
		b.mu.Unlock()
		return h, nil
	}
	first := ""
	if len(path) > 0 {
		first = path[0]
	}
	if leaf.waiting >= waitingWhole || b.first[first] >= waitingFirst {
		leaf.drop()
		b.mu.Unlock()
		return nil, ErrNoBytes
	}
	w := &waiter{hold: h, first: first, n: n, ready: make(chan struct{})}
	leaf.waiting++
	b.first[first]++
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	late := time.NewTimer(bytesWait)
	defer late.Stop()
	err := ErrNoBytes
	select {
	case <-w.ready:
		return h, nil
	case <-late.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.got {
		return h, nil // meanwhile
	}
	b.waiting = slices.DeleteFunc(b.waiting, func(other *waiter) bool { return other == w })
	b.left(w)
	leaf.drop()
	return nil, err
}

// Try is Take that does not wait; nil if there is no room.
func (b *Bytes) Try(n int64, path ...string) *Hold {
	b.mu.Lock()
	defer b.mu.Unlock()
	leaf := b.find(path)
	if leaf.waiting > 0 || !leaf.fits(n, b.size) {
		leaf.drop()
		return nil
	}
	h := &Hold{b: b, leaf: leaf}
	h.add(n)
	return h
}

// Grow makes the hold n bytes if it is less and there is room; it says whether the hold is n or more.
func (h *Hold) Grow(n int64) bool {
	if h == nil {
		return true
	}
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	more := n - h.n
	if more <= 0 {
		return true
	}
	if !h.leaf.fits(more, h.b.size) {
		return false
	}
	h.add(more)
	return true
}

// Set makes the hold n bytes, also beyond the bound: what is held already is better counted than not.
func (h *Hold) Set(n int64) {
	if h == nil {
		return
	}
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	less := n < h.n
	h.add(n - h.n)
	if less {
		h.b.wake()
	}
}

// Release gives everything back, once.
func (h *Hold) Release() {
	if h == nil {
		return
	}
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	if h.leaf == nil {
		return
	}
	h.add(-h.n)
	h.leaf.drop()
	h.leaf = nil
	h.b.wake()
}

func (h *Hold) add(n int64) {
	h.n += n
	for s := h.leaf; s != nil; s = s.parent {
		s.used += n
	}
}

// find is the share of a path, made if need be.
func (b *Bytes) find(path []string) *share {
	s := &b.root
	for _, key := range path {
		child := s.children[key]
		if child == nil {
			child = &share{parent: s, key: key}
			if s.children == nil {
				s.children = map[string]*share{}
			}
			s.children[key] = child
		}
		s = child
	}
	return s
}

// drop forgets shares that nobody needs.
func (s *share) drop() {
	for s.parent != nil && s.used == 0 && s.waiting == 0 && len(s.children) == 0 {
		delete(s.parent.children, s.key)
		s = s.parent
	}
}

// fits says whether a share may have n more.
func (s *share) fits(n, size int64) bool {
	room, ok := s.room(size)
	return ok && n <= room
}

// room is what a share may have more: at most what its parent may have beside it.
func (s *share) room(size int64) (int64, bool) {
	if s.parent == nil {
		return size - s.used, true
	}
	room, ok := s.parent.room(size)
	room -= s.used
	return room, ok && room > 0
}

// wake gives to who waits, in the order of their coming, one to a first scope in each round.
func (b *Bytes) wake() {
	for again := true; again && len(b.waiting) > 0; {
		again = false
		given := map[string]bool{}
		b.waiting = slices.DeleteFunc(b.waiting, func(w *waiter) bool {
			if given[w.first] || !w.hold.leaf.fits(w.n, b.size) {
				return false
			}
			given[w.first], again = true, true
			w.hold.add(w.n)
			b.left(w)
			w.got = true
			close(w.ready)
			return true
		})
	}
}

func (b *Bytes) left(w *waiter) {
	w.hold.leaf.waiting--
	if b.first[w.first]--; b.first[w.first] == 0 {
		delete(b.first, w.first)
	}
}
