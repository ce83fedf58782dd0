package act

import (
	"context"
	"testing"
	"time"
)

// What a directory is asked stays within its rate, over any second; while it refuses it is asked nothing, then half as
// much, and at last as much as before.
func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(5, func() time.Time { return now }, func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil })
	var at []time.Time
	ask := func(n int) {
		t.Helper()
		for range n {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			at = append(at, now)
		}
		for i := 5; i < len(at); i++ {
			if took := at[i].Sub(at[i-5]); took < time.Second {
				t.Fatalf("six within %v", took)
			}
		}
	}
	began := now
	ask(51)
	if took := now.Sub(began); took != 10*time.Second {
		t.Errorf("51 operations took %v", took)
	}
	now = now.Add(time.Minute) // nothing is saved up
	ask(10)

	refused := now
	for range 4 { // all that are on their way are refused
		p.slow(30*time.Second, true)
	}
	ask(2)
	if first, second := at[len(at)-2], at[len(at)-1]; first.Sub(refused) != 30*time.Second || second.Sub(first) != 400*time.Millisecond {
		t.Errorf("after a refusal: %v, then %v", first.Sub(refused), second.Sub(first))
	}
	for range 100 {
		p.well()
	}
	ask(2)
	if last := at[len(at)-1].Sub(at[len(at)-2]); last != 200*time.Millisecond {
		t.Errorf("when it takes all again: %v", last)
	}
	for range 50 {
		now = now.Add(time.Hour)
		p.slow(time.Second, true)
	}
	ask(2)
	if last := at[len(at)-1].Sub(at[len(at)-2]); last != slowest {
		t.Errorf("when it refuses again and again: %v", last)
	}
	ctx, end := context.WithCancelCause(t.Context())
	end(context.Canceled)
	p.sleep = sleep
	if err := p.wait(ctx); err == nil {
		t.Error("whose context has ended goes on")
	}
}
