// Package fair shares what a process has once among all whom it serves: places for things that few may do at a time,
// memory, and processors ([Door]). Whatever is shared is fair by tenant, then by network and address; it is taken late and given back early,
// and no tenant ever holds the last of it.
package fair

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

var (
	// ErrNoBytes: an answer got no memory in time.
	ErrNoBytes = errors.New("no memory for the answer within the time it may wait")
	// ErrNoPlace: something that few may do at once was not begun in time.
	ErrNoPlace = errors.New("no place within the time one may wait")
)

// Path says for whom something shared is taken, the widest scope first: a tenant, of IPv6 the network of 48 bits, the
// address (of IPv6 its network of 64 bits).
type Path []string

// PathOf is the path of a caller at a tenant, which is named by its schema. Where the address is not known, or is the
// server's own, the tenant stands alone.
func PathOf(tenant string, a netip.Addr) Path {
	p := Path{tenant}
	for _, n := range Networks(a) {
		p = append(p, Key(n))
	}
	return p
}

// Networks are what an address is counted in, the widest first: of IPv6 its networks of 48 and of 64 bits, of IPv4
// itself.
func Networks(a netip.Addr) []netip.Prefix {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return nil
	case a.Is4():
		return []netip.Prefix{netip.PrefixFrom(a, 32)}
	}
	wide, _ := a.Prefix(48) // both lengths are right
	near, _ := a.Prefix(64)
	return []netip.Prefix{wide, near}
}

// Key is the text of one of [Networks].
func Key(n netip.Prefix) string {
	if n.Addr().Is4() {
		return n.Addr().String()
	}
	return n.String()
}

// Waiting says how long somebody may wait for a part of what is shared, and how many may at once for one first scope (a
// tenant) and for one whole path: a request that waits holds memory, too. Without a time nobody waits.
type Waiting struct {
	Time  time.Duration
	First int
	Whole int
}

// bytesWait is how answers wait for memory.
var bytesWait = Waiting{Time: 5 * time.Second, First: 256, Whole: 32}

// Bytes is an amount of memory that many share. It is safe for concurrent use.
type Bytes struct{ shared }

// NewBytes shares size bytes.
func NewBytes(size int64) *Bytes {
	return &Bytes{shared{size: size, wait: bytesWait, none: ErrNoBytes}}
}

// Take waits for n bytes in the name of the path: [ErrNoBytes] if there are none in time.
func (b *Bytes) Take(ctx context.Context, n int64, path ...string) (*Hold, error) {
	return b.take(ctx, n, path)
}

// Try is Take that does not wait; nil if there is no room.
func (b *Bytes) Try(n int64, path ...string) *Hold { return b.try(n, path) }

// Places is how many may do something at once. It is safe for concurrent use.
type Places struct{ shared }

// NewPlaces shares n places.
func NewPlaces(n int, w Waiting) *Places {
	return &Places{shared{size: int64(n), wait: w, none: ErrNoPlace}}
}

// NewTurns shares n places for what is over in a moment, such as a hash: who comes waits for one of these moments, so a
// scope alone may have all but one of what its parent has, and none stands idle for somebody who may come.
func NewTurns(n int, w Waiting) *Places {
	p := NewPlaces(n, w)
	p.brief = true
	return p
}

// NewKept shares n places for what is over in a moment, all of which one scope may have, and keeps more for those whom
// it would leave nothing: a sibling that holds none while the scope holds everything. Of the last of them no first scope
// (a tenant) is given one on top of what it has, so another always finds a place. Paths have two scopes.
//
// ready tells whether there is something behind one of those that are kept, so that it is worth more than the next turn;
// nil: always. When that changes, say so by [Places.Nudge].
func NewKept(n, kept int, w Waiting, ready func() bool) *Places {
	p := NewPlaces(n+kept, w)
	p.kept, p.ready = int64(kept), ready
	return p
}

// Nudge has those who wait looked at again.
func (p *Places) Nudge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
}

// Take waits for a place in the name of the path: [ErrNoPlace] if there is none in time, or too many wait.
func (p *Places) Take(ctx context.Context, path ...string) (*Hold, error) {
	return p.take(ctx, 1, path)
}

// Try is Take that does not wait; nil if there is no place.
func (p *Places) Try(path ...string) *Hold { return p.try(1, path) }

// shared is an amount that many share fairly by a path of scopes: a tenant, at it a network, in it an address.
//
// No scope ever takes the last of what its parent has: what it holds may be at most as much as what is left to its
// siblings. So one tenant alone has half of all, two have a third each, and whoever comes finds as much as each of
// those has that are there; the same inside a tenant. Of those who wait the one goes first whose tenant holds least,
// then whose tenant was served longest ago, and so on down the path: who comes to an amount that one tenant wants all
// of is next, however many of that tenant's wait.
type shared struct {
	size  int64
	wait  Waiting
	none  error
	brief bool  // holds are over in a moment
	kept  int64 // how much of size is for whom a scope that holds all else would leave nothing; 0: not shared so
	ready func() bool

	mu     sync.Mutex
	root   share
	served int64 // how often somebody who waited was

	refused int64 // how often nobody was
}

// share is what one scope holds.
type share struct {
	parent   *share
	key      string
	used     int64
	holders  int       // how many of its scopes hold something
	waiting  int       // in it and below
	queue    []*waiter // of its own, the longest waiting first
	served   int64     // when somebody of it who waited was served last: shared.served at that time
	children map[string]*share
}

// Hold is a part of what is shared. The nil pointer holds nothing, and all its methods do nothing.
type Hold struct {
	of   *shared
	leaf *share
	n    int64
}

type waiter struct {
	hold  *Hold
	n     int64
	ready chan struct{} // closed when the hold has n
	got   bool
}

// Used is how much is held now.
func (b *shared) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.root.used
}

func (b *shared) take(ctx context.Context, n int64, path []string) (*Hold, error) {
	b.mu.Lock()
	leaf := b.find(path)
	h := &Hold{of: b, leaf: leaf}
	if len(leaf.queue) == 0 && b.fits(leaf, n) {
		h.add(n)
		b.mu.Unlock()
		return h, nil
	}
	if b.wait.Time == 0 || leaf.waiting >= b.wait.Whole || b.first(path).waiting >= b.wait.First {
		leaf.drop()
		b.refused++
		b.mu.Unlock()
		return nil, b.none
	}
	w := &waiter{hold: h, n: n, ready: make(chan struct{})}
	leaf.queue = append(leaf.queue, w)
	leaf.wait(1)
	b.mu.Unlock()
	late := time.NewTimer(b.wait.Time)
	defer late.Stop()
	err := b.none
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
	leaf.queue = slices.DeleteFunc(leaf.queue, func(other *waiter) bool { return other == w })
	leaf.wait(-1)
	leaf.drop()
	if err == b.none {
		b.refused++
	}
	b.wake() // who waits behind it for less may have room
	return nil, err
}

func (b *shared) try(n int64, path []string) *Hold {
	b.mu.Lock()
	defer b.mu.Unlock()
	leaf := b.find(path)
	if len(leaf.queue) > 0 || !b.fits(leaf, n) {
		leaf.drop()
		b.refused++
		return nil
	}
	h := &Hold{of: b, leaf: leaf}
	h.add(n)
	return h
}

// Grow makes the hold n if it is less and there is room; it says whether the hold is n or more.
func (h *Hold) Grow(n int64) bool {
	if h == nil {
		return true
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	more := n - h.n
	if more <= 0 {
		return true
	}
	if !h.of.fits(h.leaf, more) {
		return false
	}
	h.add(more)
	return true
}

// Set makes the hold n, also beyond the bound: what is held already is better counted than not.
func (h *Hold) Set(n int64) {
	if h == nil {
		return
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	less := n < h.n
	h.add(n - h.n)
	if less {
		h.of.wake()
	}
}

// Release gives everything back, once.
func (h *Hold) Release() {
	if h == nil {
		return
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.leaf == nil {
		return
	}
	h.add(-h.n)
	h.leaf.drop()
	h.leaf = nil
	h.of.wake()
}

func (h *Hold) add(n int64) {
	h.n += n
	for s := h.leaf; s != nil; s = s.parent {
		before := s.used
		s.used += n
		if s.parent != nil && (before == 0) != (s.used == 0) {
			if before == 0 {
				s.parent.holders++
			} else {
				s.parent.holders--
			}
		}
	}
}

// find is the share of a path, made if need be.
func (b *shared) find(path []string) *share {
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
func (b *shared) fits(s *share, n int64) bool {
	room, ok := b.room(s)
	return ok && n <= room
}

// room is what a share may have more: at most what its parent may have beside it, or, of what is brief, all but one.
func (b *shared) room(s *share) (int64, bool) {
	if s.parent == nil {
		if b.kept > 0 && s.used >= b.size-b.kept && s.holders != 1 {
			return 0, true // what is kept is for nobody now
		}
		return b.size - s.used, true
	}
	if b.kept > 0 {
		room := b.roomKept(s)
		return room, room > 0
	}
	room, ok := b.room(s.parent)
	if b.brief {
		room -= min(1, s.used)
	} else {
		room -= s.used
	}
	return room, ok && room > 0
}

// roomKept is room where some is kept for those who would get nothing.
func (b *shared) roomKept(s *share) int64 {
	if open := b.size - b.kept - b.root.used; open > 0 {
		return open
	}
	first := s
	for first.parent != &b.root {
		first = first.parent
	}
	if b.root.holders != 1 { // nobody has it all, so something comes back for everybody
		return 0
	}
	room := b.size - b.root.used
	if first.used > 0 {
		room-- // that one is for another first scope
	}
	switch {
	case s == first: // who asks is one of its scopes
		return room
	case first.used > 0 && (s.used > 0 || s.parent.holders != 1), b.ready != nil && !b.ready():
		return 0
	}
	return room
}

// first is the share of a path's first scope, which is there.
func (b *shared) first(path []string) *share {
	if len(path) == 0 {
		return &b.root
	}
	return b.root.children[path[0]]
}

func (s *share) wait(n int) {
	for ; s != nil; s = s.parent {
		s.waiting += n
	}
}

// wake gives to those who wait, as long as there is something for one of them.
func (b *shared) wake() {
	for b.root.waiting > 0 {
		w := b.next(&b.root)
		if w == nil {
			return
		}
		leaf := w.hold.leaf
		leaf.queue = slices.DeleteFunc(leaf.queue, func(other *waiter) bool { return other == w })
		leaf.wait(-1)
		w.hold.add(w.n)
		b.served++
		for s := leaf; s != nil; s = s.parent {
			s.served = b.served
		}
		w.got = true
		close(w.ready)
	}
}

// next is who of a scope is to be served, nil if there is nothing for any of them. Of its scopes the one goes first
// that holds less, or else was served longer ago. It costs as much as scopes wait, however many wait in each.
func (b *shared) next(s *share) *waiter {
	if room, ok := b.room(s); !ok || room <= 0 {
		return nil
	}
	for _, w := range s.queue {
		if b.fits(s, w.n) {
			return w
		}
	}
	var waiting []*share
	for _, c := range s.children {
		if c.waiting > 0 {
			waiting = append(waiting, c)
		}
	}
	slices.SortFunc(waiting, func(a, c *share) int { return cmp.Or(cmp.Compare(a.used, c.used), cmp.Compare(a.served, c.served)) })
	for _, c := range waiting {
		if w := b.next(c); w != nil {
			return w
		}
	}
	return nil
}
