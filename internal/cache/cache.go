// Package cache remembers what can be asked for again, within a number of bytes. Each entry has a scope, a tenant, and
// the bytes are shared fairly: when there is no room the scope that holds most gives up what it used longest ago, so a
// scope that is flooded pushes out its own. What nobody has used for a while goes first, whosever it is.
package cache

import (
	"container/heap"
	"time"
)

// Unused is after what time without use an entry counts for nothing: it goes before any other.
const Unused = 10 * time.Minute

// Overhead is what an entry takes besides its key and value: its place in the map, in two lists, and itself.
const Overhead = 160

// Cache is a map of bounded size. It is not safe for concurrent use: its owner has a lock already, for what else
// belongs to an entry.
type Cache[K comparable, V any] struct {
	// Busy, if set, tells entries that are not given up now: somebody works with them.
	Busy func(V) bool

	max     int64
	bytes   int64
	hits    int64
	misses  int64
	now     func() time.Time
	entries map[K]*entry[K, V]
	all     ring[K, V] // in the order of use
	scopes  map[string]*scope[K, V]
	heavy   heaviest[K, V]
}

type entry[K comparable, V any] struct {
	key   K
	value V
	size  int64
	used  time.Time
	scope *scope[K, V]
	links [2]link[K, V] // in all entries, and in those of the scope
}

type link[K comparable, V any] struct{ newer, older *entry[K, V] }

// scope is what one scope has.
type scope[K comparable, V any] struct {
	name  string
	bytes int64
	own   ring[K, V]
	place int // in the heap
}

// New makes a cache of at most so many bytes.
func New[K comparable, V any](bytes int64, now func() time.Time) *Cache[K, V] {
	return &Cache[K, V]{max: bytes, now: now, entries: map[K]*entry[K, V]{}, scopes: map[string]*scope[K, V]{}, all: ring[K, V]{at: 0}}
}

// Get gives what is kept for a key, and counts that as a use.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	e := c.entries[key]
	if e == nil {
		c.misses++
		return value, false
	}
	c.hits++
	c.touch(e)
	return e.value, true
}

// Put keeps a value of so many bytes, those of the key included. One that would take an eighth of all is not kept, nor
// what was there before it.
func (c *Cache[K, V]) Put(in string, key K, value V, bytes int64) {
	size := bytes + Overhead
	if size > c.max/8 && c.Busy == nil {
		c.Remove(key)
		return
	}
	e := c.entries[key]
	if e != nil && e.scope.name != in {
		c.Remove(key)
		e = nil
	}
	if e == nil {
		s := c.scopes[in]
		if s == nil {
			s = &scope[K, V]{name: in, own: ring[K, V]{at: 1}}
			c.scopes[in] = s
			heap.Push(&c.heavy, s)
		}
		e = &entry[K, V]{key: key, scope: s}
		c.entries[key] = e
		c.all.push(e)
		s.own.push(e)
	}
	e.value = value
	c.weigh(e, size)
	c.touch(e)
	c.Shrink()
}

// Remove forgets a key.
func (c *Cache[K, V]) Remove(key K) {
	if e := c.entries[key]; e != nil {
		c.drop(e)
	}
}

// RemoveIf forgets those of a scope for which gone is true.
func (c *Cache[K, V]) RemoveIf(in string, gone func(K, V) bool) {
	s := c.scopes[in]
	if s == nil {
		return
	}
	for e := s.own.newest; e != nil; {
		older := e.links[1].older
		if gone(e.key, e.value) {
			c.drop(e)
		}
		e = older
	}
}

// Len is how many entries there are, Bytes what they take.
func (c *Cache[K, V]) Len() int     { return len(c.entries) }
func (c *Cache[K, V]) Bytes() int64 { return c.bytes }

// Stats say how a cache is used.
type Stats struct {
	Hits, Misses int64 // what was asked for, since the start: it was there, or not
	Bytes, Max   int64
}

// Stats is how it is used now. As of everything else, its owner holds its lock.
func (c *Cache[K, V]) Stats() Stats { return Stats{c.hits, c.misses, c.bytes, c.max} }

// Shrink gives up entries until the rest has room: [Cache.Put] does it, and who ends what made an entry busy.
func (c *Cache[K, V]) Shrink() {
	for c.bytes > c.max {
		e := c.victim()
		if e == nil {
			return
		}
		c.drop(e)
	}
}

func (c *Cache[K, V]) victim() *entry[K, V] {
	since := c.now().Add(-Unused)
	for e := c.all.oldest; e != nil && e.used.Before(since); e = e.links[0].newer {
		if !c.busy(e) {
			return e
		}
	}
	if len(c.heavy) == 0 {
		return nil
	}
	for e := c.heavy[0].own.oldest; e != nil; e = e.links[1].newer {
		if !c.busy(e) {
			return e
		}
	}
	for e := c.all.oldest; e != nil; e = e.links[0].newer { // all that the heaviest has is busy
		if !c.busy(e) {
			return e
		}
	}
	return nil
}

func (c *Cache[K, V]) busy(e *entry[K, V]) bool { return c.Busy != nil && c.Busy(e.value) }

func (c *Cache[K, V]) touch(e *entry[K, V]) {
	e.used = c.now()
	for _, r := range []*ring[K, V]{&c.all, &e.scope.own} {
		if r.newest != e {
			r.remove(e)
			r.push(e)
		}
	}
}

func (c *Cache[K, V]) weigh(e *entry[K, V], size int64) {
	c.bytes += size - e.size
	e.scope.bytes += size - e.size
	e.size = size
	heap.Fix(&c.heavy, e.scope.place)
}

func (c *Cache[K, V]) drop(e *entry[K, V]) {
	c.weigh(e, 0)
	delete(c.entries, e.key)
	c.all.remove(e)
	e.scope.own.remove(e)
	if e.scope.own.newest == nil {
		heap.Remove(&c.heavy, e.scope.place)
		delete(c.scopes, e.scope.name)
	}
}

// ring is a list of entries by their use; at says which of their links it goes by.
type ring[K comparable, V any] struct {
	at             int
	newest, oldest *entry[K, V]
}

func (r *ring[K, V]) push(e *entry[K, V]) {
	e.links[r.at] = link[K, V]{older: r.newest}
	if r.newest != nil {
		r.newest.links[r.at].newer = e
	} else {
		r.oldest = e
	}
	r.newest = e
}

func (r *ring[K, V]) remove(e *entry[K, V]) {
	l := e.links[r.at]
	if l.newer != nil {
		l.newer.links[r.at].older = l.older
	} else {
		r.newest = l.older
	}
	if l.older != nil {
		l.older.links[r.at].newer = l.newer
	} else {
		r.oldest = l.newer
	}
	e.links[r.at] = link[K, V]{}
}

// heaviest has the scope with the most bytes on top.
type heaviest[K comparable, V any] []*scope[K, V]

func (h heaviest[K, V]) Len() int           { return len(h) }
func (h heaviest[K, V]) Less(i, j int) bool { return h[i].bytes > h[j].bytes }
func (h heaviest[K, V]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *heaviest[K, V]) Push(x any) {
	s := x.(*scope[K, V])
	s.place = len(*h)
	*h = append(*h, s)
}

func (h *heaviest[K, V]) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
