package fair

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// come has a request of a path come, which must be let in at once.
func come(t *testing.T, d *Door, path ...string) *Stay {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits
	s := d.Knock()
	if err := s.Enter(ctx, path); err != nil {
		t.Fatalf("%v waits", path)
	}
	return s
}

// several are so many requests of a tenant that are at work.
func several(t *testing.T, d *Door, n int, path ...string) (all []*Stay) {
	t.Helper()
	for range n {
		all = append(all, come(t, d, path...))
	}
	return all
}

func leave(all []*Stay) {
	for _, s := range all {
		s.Leave()
	}
}

// waits has a request wait; who comes in is told.
func waits(t *testing.T, d *Door, in chan<- string, path ...string) {
	go func() {
		s := d.Knock()
		if err := s.Enter(t.Context(), path); err != nil {
			t.Error(err)
		}
		in <- fmt.Sprint(path)
		s.Leave()
	}()
	synctest.Wait()
}

// empty checks that nothing is left of anybody.
func empty(t *testing.T, d *Door) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside != 0 || d.waiting != 0 {
		t.Errorf("%d are inside and %d wait", d.inside, d.waiting)
	}
	for key, a := range d.tenants {
		if a.inside != 0 || a.waiting() != 0 || len(a.lines) != 0 || a.oldest != nil || a.newest != nil {
			t.Errorf("%s: %+v", key, a)
		}
	}
}

// A tenant alone is not bound, however late all is; beside another it is, down to half the number of processors, and what is
// given back comes slowly.
func TestDoorLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(2)
		all := several(t, d, 64, "a", "x")
		if d.judge(time.Now(), true); d.level != 0 {
			t.Errorf("alone: %d", d.level)
		}
		come(t, d, "b", "y").Leave()
		all = append(all, come(t, d, "a", "x"))
		if d.judge(time.Now(), false); d.level != 0 {
			t.Errorf("nothing is late: %d", d.level)
		}
		all = append(all, come(t, d, "a", "x"))
		var levels []int
		for range 7 {
			if !d.judge(time.Now(), true) {
				t.Error("it does not look on")
			}
			levels = append(levels, d.level)
		}
		if want := []int{33, 16, 8, 4, 2, 1, 1}; !slices.Equal(levels, want) {
			t.Errorf("late: %d, want %d", levels, want)
		}
		leave(all)
		levels = nil
		for range 9 {
			time.Sleep(doorRaise)
			come(t, d, "a", "x").Leave()
			come(t, d, "b", "x").Leave()
			d.judge(time.Now(), false)
			levels = append(levels, d.level)
		}
		if want := []int{2, 3, 4, 5, 6, 7, 8, 10, 12}; !slices.Equal(levels, want) {
			t.Errorf("in time: %d, want %d", levels, want)
		}
		if d.judge(time.Now(), false); d.level != 12 {
			t.Errorf("raised at once: %d", d.level)
		}
		// The other has gone.
		time.Sleep(doorHere + 1)
		come(t, d, "a", "x").Leave()
		if d.judge(time.Now(), true) || d.level != 0 {
			t.Errorf("alone again: %d", d.level)
		}
		empty(t, d)
	})
}

// Tenants that have few at work are let in at once, whoever waits. Those that want more share the processors, and each has
// one place at least.
func TestDoorLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(4)
		in := make(chan string, 100)
		var all []*Stay
		for i := range 3 {
			all = append(all, several(t, d, 8, fmt.Sprint("loud", i), "x")...)
		}
		quiet := come(t, d, "quiet", "x")
		d.judge(time.Now(), true)
		d.judge(time.Now(), true)
		d.judge(time.Now(), true)
		if d.level != 1 {
			t.Errorf("three that want more share four processors: %d", d.level)
		}
		quiet.Leave()
		come(t, d, "quiet", "x").Leave()
		waits(t, d, in, "loud0", "x")
		if s := d.Stats(); s.Waiting != 1 || s.Used != 24 || s.Size != 1 {
			t.Errorf("%+v", s)
		}
		come(t, d, "quiet", "x").Leave()
		leave(all)
		synctest.Wait()
		if len(in) != 1 {
			t.Error("it waits on")
		}
		empty(t, d)
	})
}

// Of a tenant's that wait, addresses take turns.
func TestDoorTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(1)
		in := make(chan string, 100)
		come(t, d, "b", "x").Leave()
		all := several(t, d, 2, "a", "x")
		d.judge(time.Now(), true)
		for range 20 {
			waits(t, d, in, "a", "x")
		}
		waits(t, d, in, "a", "y")
		waits(t, d, in, "a", "z")
		leave(all)
		synctest.Wait()
		var order []string
		for range 22 {
			order = append(order, <-in)
		}
		if y, z := slices.Index(order, "[a y]"), slices.Index(order, "[a z]"); y > 2 || z > 3 {
			t.Errorf("%v", order)
		}
		empty(t, d)
	})
}

// A place counts for a moment, and who steps aside has none.
func TestDoorPlacesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(1)
		in := make(chan string, 100)
		come(t, d, "b", "x").Leave()
		all := several(t, d, 2, "a", "x")
		d.judge(time.Now(), true)
		waits(t, d, in, "a", "x")
		if d.beat(time.Now()); len(in) != 0 {
			t.Error("let in before its time")
		}
		time.Sleep(doorStay + 1)
		d.beat(time.Now())
		if synctest.Wait(); len(in) != 1 {
			t.Error("those that have been inside for long still count")
		}
		leave(all) // of what is over
		s := d.Knock()
		ctx := With(t.Context(), s)
		if err := s.Enter(ctx, Path{"a", "x"}); err != nil {
			t.Fatal(err)
		}
		waits(t, d, in, "a", "x")
		Aside(ctx)
		if synctest.Wait(); len(in) != 2 {
			t.Error("who stepped aside has its place")
		}
		s.Leave()
		Aside(t.Context()) // is nobody's
		empty(t, d)
	})
}

// No more wait than may, and none for longer; who gives up leaves nothing behind.
func TestDoorRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(1)
		come(t, d, "b", "x").Leave()
		all := several(t, d, 2, "a", "x")
		d.judge(time.Now(), true)
		began := time.Now()
		var refused atomic.Int64
		var waiting sync.WaitGroup
		for i := range doorQueue {
			waiting.Go(func() {
				if err := d.Knock().Enter(t.Context(), Path{"a", fmt.Sprint(i % 7)}); errors.Is(err, ErrNoPlace) && time.Since(began) == doorWait {
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		if err := d.Knock().Enter(t.Context(), Path{"a", "y"}); !errors.Is(err, ErrNoPlace) || time.Since(began) != 0 {
			t.Error(err, time.Since(began))
		}
		come(t, d, "b", "x").Leave()
		waiting.Wait()
		if refused.Load() != doorQueue || d.Stats().Refused != doorQueue+1 {
			t.Errorf("%d of %d were refused, %+v", refused.Load(), doorQueue, d.Stats())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Knock().Enter(ctx, Path{"a", "y"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		leave(all)
		empty(t, d)
	})
}

// While fewer are let in, a tenant sends for a part of the time; whichever has waited for longer is next, what is to be
// sent or a request.
func TestDoorStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(2)
		d.Stream(t.Context(), "a").Leave()
		come(t, d, "b", "x").Leave()
		all := several(t, d, 3, "a", "x")
		d.judge(time.Now(), true)
		leave(all)
		in := make(chan string, 100)
		for i := range 30 {
			go func() {
				s := d.Stream(t.Context(), "a")
				time.Sleep(time.Millisecond)
				in <- "stream"
				s.Leave()
			}()
			synctest.Wait()
			if i == 2 {
				waits(t, d, in, "a", "x")
			}
		}
		if len(in) != 0 {
			t.Error("sent without credit, or a request was before it")
		}
		sent := 0
		for range 8 { // a beat's credit is two and a half milliseconds, of which two are used at once
			d.beat(time.Now())
			time.Sleep(beat)
			synctest.Wait()
			if got := len(in) - sent; got > 5 {
				t.Errorf("%d in one beat", got)
			}
			sent = len(in)
		}
		if sent < 10 {
			t.Errorf("%d in all", sent)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			d.Stream(ctx, "a").Leave()
			close(ended)
		}()
		synctest.Wait()
		cancel()
		<-ended
		d.open()
		time.Sleep(time.Second)
		if synctest.Wait(); len(in) != 31 {
			t.Errorf("%d of 31", len(in))
		}
		empty(t, d)
	})
}

// Tenants that were here once are forgotten.
func TestDoorForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(2)
		for i := range 1000 {
			come(t, d, fmt.Sprint(i), "x").Leave()
			time.Sleep(doorHere / 10)
		}
		if n := len(d.tenants); n > 100 {
			t.Errorf("%d tenants", n)
		}
	})
}

// Whatever many do at once, while the level goes up and down, nobody is left behind and nothing is lost.
func TestDoorAtRandom(t *testing.T) {
	d := NewDoor(2)
	ctx, stop := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	looks.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			d.beat(time.Now())
			d.judge(time.Now(), i%3 > 0)
			time.Sleep(time.Millisecond)
		}
	})
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 100 {
				tenant, within := fmt.Sprint(r.IntN(3)), time.Duration(r.IntN(20))*time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), within)
				s := d.Knock()
				if i%4 == 0 {
					s = d.Stream(ctx, tenant)
				} else if err := s.Enter(ctx, Path{tenant, fmt.Sprint(i % 5)}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
				s.Leave()
				s.Leave()
				cancel()
			}
		})
	}
	all.Wait()
	stop()
	looks.Wait()
	d.open()
	empty(t, d)
}

// Run finds out by itself that a tenant keeps all processors busy, and lets fewer of it work; when that is over it lets
// all in again, and looks no more.
func TestDoorRun(t *testing.T) {
	d := NewDoor(1)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var busy atomic.Bool
	busy.Store(true)
	var loud sync.WaitGroup
	for range 16 * runtime.GOMAXPROCS(0) {
		loud.Go(func() {
			for busy.Load() {
				s := d.Knock()
				if err := s.Enter(t.Context(), Path{"loud", "x"}); err != nil {
					t.Error(err)
					return
				}
				for began := time.Now(); time.Since(began) < 3*time.Millisecond; {
				}
				s.Leave()
			}
		})
	}
	quiet := func(until func(Stats) bool) {
		for !until(d.Stats()) {
			s := d.Knock()
			if err := s.Enter(t.Context(), Path{"quiet", "x"}); err != nil {
				t.Error(err)
			}
			s.Leave()
			time.Sleep(time.Millisecond)
		}
	}
	quiet(func(s Stats) bool { return s.Size == 1 && s.Waiting > 0 })
	busy.Store(false)
	loud.Wait()
	// The quiet one is alone now, when the other has been forgotten.
	quiet(func(Stats) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.level == 0 && !d.awake
	})
	stop()
	all.Wait()
	empty(t, d)
	come(t, d, "loud", "x").Leave()
}
