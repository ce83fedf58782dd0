package process_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/process"
)

// TestProcesses: those that run know of each other, one that ends is gone at once, and one that was not seen for long
// does not count.
func TestProcesses(t *testing.T) {
	d := dbtest.New(t)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	run := func(address string) (self *process.Self, stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		self = process.New(d, now, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- self.Run(ctx, address, "v1") }()
		return self, func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	alive := func(want int) []process.Process {
		t.Helper()
		for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			all, err := process.Alive(t.Context(), d, now())
			if err != nil {
				t.Fatal(err)
			}
			if len(all) == want {
				return all
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%d processes, want %d", len(all), want)
			}
		}
	}
	one, stopOne := run("one:1")
	first := alive(1)
	if p := first[0]; p.ID != one.ID() || p.Address != "one:1" || p.Version != "v1" || p.ControlVersion < 5 || p.TenantVersion < 15 {
		t.Errorf("%+v", p)
	}
	two, stopTwo := run("two:2")
	alive(2)
	for began := time.Now(); len(one.Others()) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the first never hears of the second")
		}
	}
	if got := one.Others(); len(got) != 1 || got[0].ID != two.ID() {
		t.Errorf("the first knows %+v", got)
	}
	stopTwo()
	alive(1)
	stopOne()
	alive(0)
	// One that ends without a word.
	_, stopThree := run("three:3")
	defer stopThree()
	seen := alive(1)[0].SeenAt
	if all, err := process.Alive(t.Context(), d, seen.Add(time.Minute)); err != nil || len(all) != 0 {
		t.Error("a process that was not seen for a minute counts:", all, err)
	}
}

// TestCircle: a process relies on another one to know of it only after some beats of the other, on no list that is old, and
// not on a program that is too old.
func TestCircle(t *testing.T) {
	d := dbtest.New(t)
	var at atomic.Int64
	base := time.Now()
	now := func() time.Time { return base.Add(time.Duration(at.Load())) }
	log := slog.New(slog.DiscardHandler)
	one, two := process.New(d, now, log), process.New(d, now, log)
	if _, fresh, mutual := one.Circle(1); fresh || mutual {
		t.Error("a process that never looked knows who is there")
	}
	beat := func(s *process.Self) {
		t.Helper()
		at.Add(int64(time.Second))
		if err := s.Beat(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	beat(one)
	if others, fresh, mutual := one.Circle(7); len(others) != 0 || !fresh || !mutual {
		t.Error("alone:", others, fresh, mutual)
	}
	beat(two)
	for n := range 3 {
		beat(one)
		if others, fresh, mutual := one.Circle(7); len(others) != 1 || others[0] != two.ID() || !fresh || mutual {
			t.Error("after", n, "beats:", others, fresh, mutual)
		}
		beat(two)
	}
	beat(one)
	if _, fresh, mutual := one.Circle(7); !fresh || !mutual {
		t.Error("the other has beaten four times:", fresh, mutual)
	}
	if _, _, mutual := one.Circle(8); mutual {
		t.Error("the other's program is too old")
	}
	beat(one) // the other says nothing new
	at.Add(int64(10 * time.Second))
	if _, fresh, mutual := one.Circle(7); fresh || mutual {
		t.Error("a list of ten seconds ago is relied on")
	}
}
