package due_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/due"
)

// clock is the real time moved forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// tenants notes tenants in control that have no schema: promises need none.
func tenants(t *testing.T, d *db.DB, n int) []db.Schema {
	t.Helper()
	out := make([]db.Schema, n)
	for i := range out {
		name := fmt.Sprintf("t_%d", i+1)
		s, err := db.ParseSchema(name)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Control().InsertTenant(t.Context(), controldb.InsertTenantParams{
			TenantID: int64(i + 1), Hostname: name + ".test", SchemaName: name, ServiceDID: "did:web:x", NodeID: 1, State: 1,
			Settings: []byte("{}"), Revision: int64(i + 1), CreatedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		out[i] = s
	}
	return out
}

// hands counts what was done.
type hands struct {
	mu   sync.Mutex
	done map[int64]int
	do   func(id int64) (time.Time, error) // nil: nothing is due again
}

func (h *hands) work() due.Work {
	return due.Work{Hands: 2, Do: func(_ context.Context, id int64) (time.Time, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.done == nil {
			h.done = map[int64]int{}
		}
		h.done[id]++
		if h.do != nil {
			return h.do(id)
		}
		return time.Time{}, nil
	}}
}

func (h *hands) times(id int64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done[id]
}

func run(t *testing.T, b *due.Book) (stop func()) {
	t.Helper()
	b.Hasten()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("never:", what)
		}
	}
}

// given waits until what was done is given back: a clock that is moved forward ends leases.
func given(t *testing.T, d *db.DB, c *clock) {
	t.Helper()
	until(t, "what was done is given back", func() bool {
		states, err := due.States(t.Context(), d, c.now())
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(states, func(s due.State) bool { return s.Held > 0 })
	})
}

var quiet = slog.New(slog.DiscardHandler)

// TestDue: what is promised is done when its date has come, once, by one of several processes, and again when the work
// says so.
func TestDue(t *testing.T) {
	d, c := dbtest.New(t), new(clock)
	all := tenants(t, d, 3)
	var h hands
	var books []*due.Book
	for range 3 {
		b := due.New(d, c.now, quiet)
		b.Handle(due.Mail, h.work())
		books = append(books, b)
		run(t, b)
	}
	books[0].Mark(all[0], due.Mail, c.now())
	books[1].Mark(all[1], due.Mail, c.now().Add(time.Hour))
	until(t, "the first is done", func() bool { return h.times(1) == 1 })
	given(t, d, c)
	if n := h.times(2); n != 0 {
		t.Errorf("what is due in an hour was done %d times", n)
	}
	if err := books[1].Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.add(time.Hour)
	until(t, "the second is done", func() bool { return h.times(2) == 1 })
	given(t, d, c)
	// Done again by the date that the work gave.
	h.mu.Lock()
	again := c.now().Add(time.Hour)
	h.do = func(int64) (time.Time, error) {
		if h.done[3] == 1 {
			return again, nil
		}
		return time.Time{}, nil
	}
	h.mu.Unlock()
	books[2].Mark(all[2], due.Mail, c.now())
	until(t, "the third is done", func() bool { return h.times(3) == 1 })
	given(t, d, c)
	c.add(2 * time.Hour)
	until(t, "the third is done again", func() bool { return h.times(3) == 2 })
	given(t, d, c)
	c.add(100 * time.Hour)
	asks := books[0].Statements()
	until(t, "the first asks some more", func() bool { return books[0].Statements() > asks+2 })
	for id := int64(1); id <= 3; id++ {
		if got, want := h.times(id), []int{0, 1, 1, 2}[id]; got != want {
			t.Errorf("tenant %d was worked on %d times, want %d", id, got, want)
		}
	}
}

// TestTouched: a tenant that was written to is looked at half a minute later, after what is routine within an hour; the
// one does not put off the other, nor does the second of many.
func TestTouched(t *testing.T) {
	d, c := dbtest.New(t), new(clock)
	all := tenants(t, d, 3)
	var h hands
	b := due.New(d, c.now, quiet)
	b.Handle(due.Look, h.work())
	run(t, b)
	times := func(want ...int) {
		t.Helper()
		asked := b.Statements()
		until(t, "it asks some more", func() bool { return b.Statements() > asked+2 })
		for i, n := range want {
			until(t, "it is looked", func() bool { return h.times(int64(i+1)) >= n })
			if got := h.times(int64(i + 1)); got != n {
				t.Errorf("tenant %d was looked at %d times, want %d", i+1, got, n)
			}
		}
		given(t, d, c)
	}
	written := func() {
		t.Helper()
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	routine, soon, both := all[0].String(), all[1].String(), all[2].String()
	b.Touched(routine, true)
	b.Touched(soon, false)
	b.Touched(both, true)
	written()
	b.Touched(both, false)
	b.Touched(both, true)
	written()
	c.add(40 * time.Second)
	times(0, 1, 1)
	for range 3 {
		c.add(10 * time.Minute)
		b.Touched(routine, true)
		b.Touched(both, true)
		written()
	}
	times(0, 1, 1)
	c.add(30 * time.Minute)
	times(1, 1, 2)
	b.Touched(routine, true)
	written()
	c.add(time.Hour)
	times(2, 1, 2)
}

// TestPromises: what comes while the work is going on, or is promised for later than an early look, is not lost; what is
// not to come sooner does not.
func TestPromises(t *testing.T) {
	d, c := dbtest.New(t), new(clock)
	s := tenants(t, d, 1)[0]
	b, other := due.New(d, c.now, quiet), due.New(d, c.now, quiet)
	var n atomic.Int32
	began, goOn := make(chan struct{}), make(chan struct{})
	b.Handle(due.Blobs, due.Work{Apart: 10 * time.Minute, Do: func(ctx context.Context, id int64) (time.Time, error) {
		if n.Add(1) == 1 {
			close(began)
			<-goOn
		}
		return time.Time{}, nil
	}})
	run(t, b)
	other.Mark(s, due.Blobs, c.now().Add(time.Hour))
	if err := other.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Mark(s, due.Blobs, c.now())
	<-began
	other.Mark(s, due.Blobs, c.now()) // while the work is going on
	if err := other.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	asks := b.Statements()
	until(t, "two questions more", func() bool { return b.Statements() > asks+3 })
	if got := n.Load(); got != 1 {
		t.Errorf("worked on %d times within the time that looks lie apart", got)
	}
	c.add(11 * time.Minute)
	until(t, "the second look", func() bool { return n.Load() == 2 })
	asks = b.Statements()
	until(t, "two questions more", func() bool { return b.Statements() > asks+3 }) // what it took is given back
	c.add(time.Hour)
	until(t, "the look that was promised first", func() bool { return n.Load() == 3 })
}

// TestLease: the work of a process that died is done by another one when its lease ends, and not before.
func TestLease(t *testing.T) {
	d, c := dbtest.New(t), new(clock)
	s := tenants(t, d, 1)[0]
	dead, b := due.New(d, c.now, quiet), due.New(d, c.now, quiet)
	dead.Mark(s, due.Events, c.now())
	if err := dead.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := c.now().UTC()
	rows, err := d.Control().LockDue(t.Context(), controldb.LockDueParams{Now: now, Until: now.Add(2 * time.Minute), Kind: string(due.Events), MaxRows: 10})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	var h hands
	b.Handle(due.Events, h.work())
	run(t, b)
	asks := b.Statements()
	until(t, "two questions", func() bool { return b.Statements() > asks+1 })
	if n := h.times(1); n != 0 {
		t.Errorf("done %d times while another process has it", n)
	}
	c.add(3 * time.Minute)
	until(t, "done", func() bool { return h.times(1) == 1 })
}

// TestRetry: what fails is done again, ever later.
func TestRetry(t *testing.T) {
	d, c := dbtest.New(t), new(clock)
	s := tenants(t, d, 1)[0]
	b := due.New(d, c.now, quiet)
	h := hands{do: func(int64) (time.Time, error) { return time.Time{}, errors.New("no") }}
	b.Handle(due.Accounts, h.work())
	run(t, b)
	b.Mark(s, due.Accounts, c.now())
	until(t, "tried", func() bool { return h.times(1) == 1 })
	for n, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		asks := b.Statements()
		until(t, "a question", func() bool { return b.Statements() > asks+1 })
		if got := h.times(1); got != n+1 {
			t.Fatalf("tried %d times, want %d", got, n+1)
		}
		c.add(wait + time.Second)
		until(t, "tried again", func() bool { return h.times(1) == n+2 })
	}
}

// TestWalk: every tenant is walked to, also those that nobody promised anything for, once in a while whatever the number
// of processes. And what a process asks while nothing is due does not grow with tenants.
func TestWalk(t *testing.T) {
	d, c := dbtest.New(t), new(clock)
	tenants(t, d, 50)
	h := hands{do: func(int64) (time.Time, error) { return c.now().Add(due.WalkEvery), nil }}
	var books []*due.Book
	var stops []func()
	for range 2 {
		b := due.New(d, c.now, quiet)
		b.Handle(due.Walk, h.work())
		for _, k := range []due.Kind{due.Look, due.Mail, due.Accounts, due.Expiries, due.Blobs, due.Events, due.Crawls} {
			b.Handle(k, (&hands{}).work())
		}
		books = append(books, b)
		stops = append(stops, run(t, b))
	}
	until(t, "a first question of each", func() bool { return books[0].Statements() > 2 && books[1].Statements() > 2 })
	c.add(time.Hour)
	walked := func(times int) func() bool {
		return func() bool {
			for id := int64(1); id <= 50; id++ {
				if h.times(id) != times {
					return false
				}
			}
			return true
		}
	}
	until(t, "everybody is walked to", walked(1))
	c.add(due.WalkEvery)
	until(t, "everybody is walked to again", walked(2))
	for i, b := range books {
		stops[i]()
		asked := b.Statements()
		if err := b.Ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := b.Statements() - asked; n != 1 {
			t.Errorf("a question for nothing, of all kinds and 50 tenants, is %d statements", n)
		}
	}
}
