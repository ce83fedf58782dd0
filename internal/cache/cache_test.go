package cache

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/auroralocus/locus/internal/cache/cachetest"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

// TestBoundedByBytes: what is kept weighs no more than it may, also on the heap.
func TestBoundedByBytes(t *testing.T) {
	const bound = 8 << 20
	before := cachetest.LiveHeap()
	c := New[string, string](bound, time.Now)
	for i := range 50_000 {
		value := strings.Repeat("x", 10+i%2000)
		key := fmt.Sprintf("key %d", i)
		c.Put(fmt.Sprint("tenant ", i%7), key, value, int64(len(key)+len(value)))
		if c.Bytes() > bound {
			t.Fatalf("%d bytes", c.Bytes())
		}
	}
	grown := cachetest.LiveHeap() - before
	if grown > bound+bound/4 {
		t.Errorf("the heap grew by %d KiB, bound %d KiB", grown>>10, bound>>10)
	}
	if c.Bytes() < bound/2 {
		t.Errorf("%d bytes kept of %d", c.Bytes(), bound)
	}
	runtime.KeepAlive(c)
}

// TestSmallEntriesAreWeighed: with nothing in them, entries take what Overhead says.
func TestSmallEntriesAreWeighed(t *testing.T) {
	const bound = 8 << 20
	before := cachetest.LiveHeap()
	c := New[int, int](bound, time.Now)
	for i := range 200_000 {
		c.Put("", i, i, 16)
	}
	if grown := cachetest.LiveHeap() - before; grown > bound+bound/4 {
		t.Errorf("the heap grew by %d KiB, bound %d KiB", grown>>10, bound>>10)
	}
	runtime.KeepAlive(c)
}

// TestFloodPushesOutItsOwn: a neighbour's entries stay, however many another scope makes.
func TestFloodPushesOutItsOwn(t *testing.T) {
	c := New[string, int](100*(Overhead+10), newClock().now)
	for i := range 20 {
		c.Put("quiet", fmt.Sprint("q", i), i, 10)
	}
	for i := range 10_000 {
		c.Put("flood", fmt.Sprint("f", i), i, 10)
	}
	for i := range 20 {
		if _, ok := c.Get(fmt.Sprint("q", i)); !ok {
			t.Errorf("q%d is gone", i)
		}
	}
	if c.Len() != 100 {
		t.Errorf("%d entries", c.Len())
	}
}

// TestUnusedGoesFirst: what a scope does not use is another's to have.
func TestUnusedGoesFirst(t *testing.T) {
	at := newClock()
	c := New[string, int](100*(Overhead+10), at.now)
	for i := range 50 {
		c.Put("gone", fmt.Sprint("g", i), i, 10)
	}
	at.at = at.at.Add(Unused + time.Second)
	c.Put("busy", "first", 0, 10)
	for i := range 99 {
		c.Put("busy", fmt.Sprint("b", i), i, 10)
	}
	if _, ok := c.Get("first"); !ok || c.Len() != 100 {
		t.Errorf("first is kept: %v, %d entries", ok, c.Len())
	}
}

func TestTooHeavyIsNotKept(t *testing.T) {
	c := New[string, int](8000, newClock().now)
	c.Put("a", "k", 1, 10)
	c.Put("a", "k", 2, 1000)
	if _, ok := c.Get("k"); ok || c.Bytes() != 0 {
		t.Errorf("kept: %v, %d bytes", ok, c.Bytes())
	}
}

func TestBusyStays(t *testing.T) {
	c := New[int, *bool](3*Overhead, newClock().now)
	busy := [5]bool{true, true, true, true, true}
	c.Busy = func(b *bool) bool { return *b }
	for i := range busy {
		c.Put("a", i, &busy[i], 0)
	}
	if c.Len() != 5 {
		t.Fatalf("%d entries", c.Len())
	}
	busy[4], busy[3], busy[1] = false, false, false
	c.Shrink()
	if _, ok := c.Get(1); ok || c.Len() != 3 {
		t.Errorf("the unused one used longest ago is kept: %v, %d entries", ok, c.Len())
	}
}

// TestCounts: whatever is done, the sums are those of the entries, and no order loses one.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := newClock()
		c := New[int, int](2000, at.now)
		want := map[int]int{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 15).Draw(t, "key")
			in := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "scope"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				c.Put(in, key, key*2, int64(rapid.IntRange(0, 100).Draw(t, "bytes")))
				want[key] = key * 2
			case 2:
				c.Remove(key)
			case 3:
				c.RemoveIf(in, func(k, _ int) bool { return k%2 == 0 })
			case 4:
				at.at = at.at.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			}
			if v, ok := c.Get(key); ok && v != want[key] {
				t.Fatalf("%d is %d", key, v)
			}
			var sum int64
			seen := 0
			for _, s := range c.scopes {
				var own int64
				for e := s.own.newest; e != nil; e = e.links[1].older {
					own += e.size
					seen++
				}
				if own != s.bytes || c.heavy[s.place] != s {
					t.Fatalf("scope %s: %d bytes, said %d", s.name, own, s.bytes)
				}
				sum += own
			}
			inAll := 0
			for e := c.all.oldest; e != nil; e = e.links[0].newer {
				inAll++
			}
			if sum != c.bytes || c.bytes > c.max || seen != c.Len() || inAll != c.Len() {
				t.Fatalf("%d bytes, said %d; %d and %d entries, said %d", sum, c.bytes, seen, inAll, c.Len())
			}
		}
	})
}
