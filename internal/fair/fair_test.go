package fair

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNobodyTakesTheLast(t *testing.T) {
	b := NewBytes(1200)
	fill := func(path ...string) (n int64, holds []*Hold) {
		for {
			h := b.Try(10, path...)
			if h == nil {
				return n, holds
			}
			n += 10
			holds = append(holds, h)
		}
	}
	release := func(holds []*Hold) {
		for _, h := range holds {
			h.Release()
			h.Release()
		}
	}
	a, held := fill("a")
	if a != 600 {
		t.Errorf("one tenant alone has %d", a)
	}
	n, other := fill("b")
	if n != 300 {
		t.Errorf("the second has %d", n)
	}
	release(held)
	release(other)
	if b.Used() != 0 || len(b.root.children) != 0 {
		t.Fatal(b.Used(), b.root.children)
	}
	one, held := fill("a", "x")
	if one != 400 {
		t.Errorf("one address alone has %d", one)
	}
	two, more := fill("a", "y")
	if two == 0 {
		t.Error("nothing for a second address")
	}
	third, rest := fill("b", "x")
	if third < 200 {
		t.Errorf("another tenant has %d", third)
	}
	release(append(append(held, more...), rest...))
	// However many addresses one tenant has, the others find as much.
	held = nil
	for i := range 1000 {
		_, more := fill("a", fmt.Sprint(i))
		held = append(held, more...)
	}
	if n, more := fill("b", "x"); n < 200 {
		t.Errorf("beside a thousand addresses another tenant has %d", n)
	} else {
		release(more)
	}
	release(held)
	var none *Hold
	none.Release()
	none.Set(5)
	if !none.Grow(5) || b.Used() != 0 || len(b.root.children) != 0 {
		t.Error(b.Used(), b.root.children)
	}
}

func TestBytesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBytes(100)
		h, err := b.Take(t.Context(), 40, "a", "x")
		if err != nil || h.Grow(60) || !h.Grow(10) {
			t.Fatal(err, h.n)
		}
		began := time.Now()
		if _, err := b.Take(t.Context(), 40, "a", "x"); !errors.Is(err, ErrNoBytes) || time.Since(began) != bytesWait.Time {
			t.Error(err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Take(ctx, 40, "a", "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		got := make(chan *Hold)
		go func() {
			h, _ := b.Take(t.Context(), 40, "a", "x")
			got <- h
		}()
		synctest.Wait()
		if o := b.Try(1, "a", "x"); o != nil {
			t.Error("overtaken")
		}
		o, err := b.Take(t.Context(), 40, "b", "x")
		if err != nil {
			t.Error(err)
		}
		h.Set(5)
		if second := <-got; second == nil {
			t.Error("not woken")
		} else {
			second.Release()
		}
		o.Release()
		h.Release()
		if b.Used() != 0 || len(b.root.children) != 0 || b.root.waiting != 0 {
			t.Error(b.Used(), b.root.children, b.root.waiting)
		}
		// No more wait than may.
		h, _ = b.Take(t.Context(), 33, "a", "x")
		var wg sync.WaitGroup
		for range bytesWait.Whole {
			wg.Go(func() { _, _ = b.Take(t.Context(), 33, "a", "x") })
		}
		synctest.Wait()
		began = time.Now()
		if _, err := b.Take(t.Context(), 33, "a", "x"); !errors.Is(err, ErrNoBytes) || time.Since(began) != 0 {
			t.Error(err)
		}
		wg.Wait()
		h.Release()
	})
}

// TestBytesAtOnce: whatever many do at once, nothing is lost and the bound holds.
func TestBytesAtOnce(t *testing.T) {
	b := NewBytes(10_000)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 200 {
				h, err := b.Take(t.Context(), int64(r.IntN(400)), fmt.Sprint(i%5), fmt.Sprint(i))
				if err != nil {
					continue
				}
				if b.Used() > 10_000 {
					t.Error(b.Used())
				}
				h.Grow(int64(r.IntN(600)))
				h.Release()
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 || len(b.root.children) != 0 || b.root.waiting != 0 {
		t.Error(b.Used(), len(b.root.children), b.root.waiting)
	}
}

// However many of one tenant wait, who comes from another is next; inside a tenant the same by address.
func TestWhoComesIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(1, Waiting{Time: time.Minute, First: 1000, Whole: 1000})
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		work := func(path ...string) {
			wg.Go(func() {
				h, err := p.Take(t.Context(), path...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, fmt.Sprint(path))
				mu.Unlock()
				time.Sleep(time.Second)
				h.Release()
			})
			synctest.Wait()
		}
		for range 20 {
			work("a", "x")
		}
		work("a", "y")
		work("b", "x")
		work("c", "x")
		wg.Wait()
		at := func(who string) int {
			for i, o := range order {
				if o == who {
					return i
				}
			}
			return -1
		}
		if b, c, y := at("[b x]"), at("[c x]"), at("[a y]"); b > 3 || c > 3 || y > 6 {
			t.Errorf("%v", order)
		}
		if p.Used() != 0 || len(p.root.children) != 0 || p.root.waiting != 0 {
			t.Error(p.Used(), p.root.children, p.root.waiting)
		}
	})
}

// One place less than all is what one tenant can have.
func TestPlaces(t *testing.T) {
	p := NewPlaces(4, Waiting{})
	var held []*Hold
	for {
		h := p.Try("a", "x")
		if h == nil {
			break
		}
		held = append(held, h)
	}
	if len(held) == 0 || len(held) > 2 {
		t.Errorf("one tenant has %d of 4", len(held))
	}
	if h := p.Try("b"); h == nil {
		t.Error("nothing for another tenant")
	}
	if _, err := p.Take(t.Context(), "a", "x"); !errors.Is(err, ErrNoPlace) {
		t.Error(err)
	}
	for _, h := range held {
		h.Release()
	}
}

// Of what is over in a moment one may have all but the last.
func TestTurns(t *testing.T) {
	p := NewTurns(8, Waiting{})
	n := 0
	for p.Try("a", "x") != nil {
		n++
	}
	if n < 5 || n > 7 {
		t.Errorf("one address has %d of 8", n)
	}
	if p.Try("b", "x") == nil {
		t.Error("nothing for another tenant")
	}
	if one := NewTurns(1, Waiting{}); one.Try("a", "x") == nil || one.Try("b", "x") != nil {
		t.Error("one turn is one turn")
	}
}

func TestPathOf(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.9":          "[t_1 203.0.113.9]",
		"::ffff:203.0.113.9":   "[t_1 203.0.113.9]",
		"2001:db8:1:2:3:4:5:6": "[t_1 2001:db8:1::/48 2001:db8:1:2::/64]",
		"fe80::1%eth0":         "[t_1 fe80::/48 fe80::/64]",
		"":                     "[t_1]",
	} {
		a, _ := netip.ParseAddr(text)
		if got := fmt.Sprint(PathOf("t_1", a)); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// One tenant's commits may have everything, and still its reads and another tenant's find a place; the last never goes
// to a tenant that has some.
func TestKept(t *testing.T) {
	p := NewKept(2, 2, Waiting{Time: time.Minute, First: 100, Whole: 100}, nil)
	var held []*Hold
	try := func(want bool, path ...string) *Hold {
		t.Helper()
		h := p.Try(path...)
		if (h != nil) != want {
			t.Fatalf("%v got a place: %v", path, h != nil)
		}
		if h != nil {
			held = append(held, h)
		}
		return h
	}
	try(true, "a", "commit")
	second := try(true, "a", "commit")
	try(false, "a", "commit")
	try(true, "a", "read")
	try(false, "a", "read") // it has one
	last := try(true, "b", "read")
	try(false, "c", "read") // two share it all: something comes back
	try(false, "b", "commit")

	// Of those who wait, who holds nothing is next, and then a tenant's own reads are before more of its commits.
	order := make(chan string, 3)
	for i, path := range [][]string{{"a", "commit"}, {"c", "read"}} {
		go func() {
			h, err := p.Take(context.Background(), path...)
			if err != nil {
				t.Error(err)
			}
			order <- path[0]
			h.Release()
		}()
		for p.waiting() != i+1 {
			time.Sleep(time.Millisecond)
		}
	}
	last.Release()
	held = held[:3] // what "a" has
	second.Release()
	held[0].Release()
	if got := <-order; got != "c" {
		t.Errorf("%s was served first", got)
	}
	<-order
	held[2].Release()
	if p.Used() != 0 || p.root.holders != 0 || len(p.root.children) != 0 {
		t.Errorf("%d held by %d, %d scopes", p.Used(), p.root.holders, len(p.root.children))
	}
}

// While nothing is behind what is kept, a turn is waited for; when something is, it is given out.
func TestKeptWhenReady(t *testing.T) {
	ready := false // under the lock
	p := NewKept(1, 2, Waiting{Time: time.Minute, First: 100, Whole: 100}, func() bool { return ready })
	held := p.Try("a", "commit")
	got := make(chan *Hold, 1)
	take := func() {
		h, err := p.Take(context.Background(), "b", "read")
		if err != nil {
			t.Error(err)
		}
		got <- h
	}
	go take()
	for p.waiting() != 1 {
		time.Sleep(time.Millisecond)
	}
	p.Nudge() // nothing has changed
	held.Release()
	second := <-got
	if h := p.Try("c", "read"); h != nil {
		t.Error("got a place with nothing behind it")
	}
	go take() // "b" has everything: it is not for b
	for p.waiting() != 1 {
		time.Sleep(time.Millisecond)
	}
	p.mu.Lock()
	ready = true
	p.mu.Unlock()
	p.Nudge()
	if n := p.waiting(); n != 1 {
		t.Errorf("%d wait", n)
	}
	third := p.Try("c", "read")
	if third == nil {
		t.Fatal("no place for another tenant")
	}
	second.Release()
	third.Release()
	(<-got).Release()
	if p.Used() != 0 || p.root.holders != 0 {
		t.Errorf("%d held by %d", p.Used(), p.root.holders)
	}
}

// Many with all kinds of paths take and give back: it is all there again, and no tenant ever had everything.
func TestKeptAtRandom(t *testing.T) {
	p := NewKept(3, 2, Waiting{Time: time.Minute, First: 1000, Whole: 1000}, nil)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			path := []string{string(rune('a' + i%5)), []string{"commit", "read"}[i%2]}
			for range 200 {
				h, err := p.Take(t.Context(), path...)
				if err != nil {
					t.Error(err)
					return
				}
				p.mu.Lock()
				if one := p.root.children[path[0]]; one.used > p.size-1 || p.root.used > p.size {
					t.Errorf("%d of %d are one tenant's", one.used, p.root.used)
				}
				p.mu.Unlock()
				h.Release()
			}
		})
	}
	wg.Wait()
	if p.Used() != 0 || p.root.holders != 0 || p.root.waiting != 0 {
		t.Errorf("%d held by %d, %d wait", p.Used(), p.root.holders, p.root.waiting)
	}
}

func (b *shared) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.root.waiting
}
