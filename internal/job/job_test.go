package job_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/job"
)

// clock is set on by tests, and goes on by itself.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

type house struct {
	t     *testing.T
	db    *db.DB
	clock *clock
}

func newHouse(t *testing.T) *house { return &house{t, dbtest.New(t), &clock{}} }

// process is a runner that knows a kind "work", and does what is due when run.
func (h *house) process(k job.Kind, run bool) *job.Runner {
	k.Name = "work"
	r := job.New(h.db, h.clock.now, slog.New(slog.DiscardHandler))
	r.Register(k)
	if run {
		ctx, cancel := context.WithCancel(h.t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = r.Run(ctx) }()
		h.t.Cleanup(func() { cancel(); <-ended })
	}
	return r
}

// Work that a process does itself: its progress is seen, its result kept.
func TestDo(t *testing.T) {
	h := newHouse(t)
	r := h.process(job.Kind{Work: func(ctx context.Context, r *job.Run) error {
		var args struct{ N int64 }
		if err := r.Args(&args); err != nil {
			return err
		}
		r.Progress("counting", args.N, args.N)
		return r.Result(map[string]int64{"counted": args.N})
	}}, false)
	var seen []job.Job
	j, err := r.Do(t.Context(), job.Spec{Kind: "work", TenantID: 7, Args: map[string]int{"N": 3}, By: "test"}, func(j job.Job) { seen = append(seen, j) })
	if err != nil || j.State != job.Done || string(j.Result) != `{"counted": 3}` || j.EndedAt == nil || j.By != "test" {
		t.Fatalf("%+v: %v", j, err)
	}
	if len(seen) != 1 || seen[0].Step != "counting" || seen[0].Done != 3 {
		t.Errorf("seen: %+v", seen)
	}
	list, err := r.List(t.Context(), job.Filter{TenantID: 7, Max: 10})
	if err != nil || len(list) != 1 || list[0].ID != j.ID {
		t.Errorf("%+v: %v", list, err)
	}
	if list, err = r.List(t.Context(), job.Filter{Open: true, Max: 10}); err != nil || len(list) != 0 {
		t.Errorf("open: %+v: %v", list, err)
	}
}

// What one process starts another one does, and only once for one key.
func TestStart(t *testing.T) {
	h := newHouse(t)
	done := make(chan string, 10)
	h.process(job.Kind{Work: func(_ context.Context, r *job.Run) error { done <- r.Job.ID; return nil }}, true)
	asks := h.process(job.Kind{}, false)
	first, err := asks.Start(t.Context(), job.Spec{Kind: "work", Key: "once"})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != first.ID {
		t.Errorf("did %s, not %s", got, first.ID)
	}
	j, err := asks.Watch(t.Context(), first.ID, nil)
	if err != nil || j.State != job.Done {
		t.Fatalf("%+v: %v", j, err)
	}
	again, err := asks.Start(t.Context(), job.Spec{Kind: "work", Key: "once"})
	if err != nil || again.ID != first.ID {
		t.Errorf("the same key is another job: %+v %v", again, err)
	}
	if len(done) != 0 {
		t.Error("done twice")
	}
}

// A process that dies leaves what it saved; another one goes on from there. When the first one comes back to life it is
// told that the job is not its own any more.
func TestGoesOn(t *testing.T) {
	h := newHouse(t)
	saved, lost := make(chan struct{}), make(chan error, 1)
	asleep := &house{t, h.db, &clock{}} // its clock stays behind: what it claims is over at once
	dead := asleep.process(job.Kind{Work: func(ctx context.Context, r *job.Run) error {
		if err := r.Save(ctx, map[string]int{"at": 5}); err != nil {
			return err
		}
		close(saved)
		<-ctx.Done()
		lost <- r.Save(context.WithoutCancel(ctx), map[string]int{"at": 6})
		return ctx.Err()
	}}, false)
	go func() { _, _ = dead.Do(context.Background(), job.Spec{Kind: "work"}, nil) }()
	<-saved
	h.clock.pass(time.Hour)
	other := h.process(job.Kind{Work: func(_ context.Context, r *job.Run) error {
		var s struct{ At int }
		if err := r.State(&s); err != nil || s.At != 5 || r.Job.Attempts != 2 {
			return errors.Join(err, errors.New("not what was saved"))
		}
		return nil
	}}, true)
	open, err := other.List(t.Context(), job.Filter{Max: 1})
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	if j, err := other.Watch(t.Context(), open[0].ID, nil); err != nil || j.State != job.Done {
		t.Fatalf("%+v: %v", j, err)
	}
	if err := <-lost; !errors.Is(err, job.ErrLost) {
		t.Errorf("the first process could save: %v", err)
	}
}

// Cancelling: before it began, while it runs, and too late.
func TestCancel(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	idle := h.process(job.Kind{}, false)
	j, err := idle.Start(ctx, job.Spec{Kind: "work"})
	if err != nil {
		t.Fatal(err)
	}
	if j, err = idle.Cancel(ctx, j.ID); err != nil || j.State != job.Cancelled {
		t.Fatalf("%+v: %v", j, err)
	}
	if _, err = idle.Cancel(ctx, j.ID); !errors.Is(err, job.ErrEnded) {
		t.Errorf("a second time: %v", err)
	}
	if _, err = idle.Cancel(ctx, "none"); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	for _, late := range []bool{false, true} {
		begun, again := make(chan struct{}), false
		h := newHouse(t)
		r := h.process(job.Kind{
			Work: func(ctx context.Context, r *job.Run) error {
				if again {
					return nil
				}
				again = true
				close(begun)
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), job.ErrCancelled) {
					t.Errorf("cause: %v", context.Cause(ctx))
				}
				return ctx.Err()
			},
			Abort: func(ctx context.Context, r *job.Run) error {
				if ctx.Err() != nil {
					t.Error("no time to take anything back")
				}
				if late {
					return job.ErrTooLate
				}
				return nil
			},
		}, true)
		j, err := r.Start(ctx, job.Spec{Kind: "work"})
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		if _, err := r.Cancel(ctx, j.ID); err != nil {
			t.Fatal(err)
		}
		j, err = r.Watch(ctx, j.ID, nil)
		want, state := job.ErrCancelled, job.Cancelled
		if late {
			want, state = nil, job.Done
		}
		if !errors.Is(err, want) || j.State != state {
			t.Errorf("late %v: %+v: %v", late, j, err)
		}
	}
}

// Of work that has to be alone a tenant has one at a time; an error that passes is tried again, another one ends it.
func TestAloneAndErrors(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	tries := make(chan int, 10)
	r := h.process(job.Kind{Alone: true, Work: func(_ context.Context, r *job.Run) error {
		tries <- r.Job.Attempts
		if r.Job.Attempts == 1 {
			return db.ErrUnavailable
		}
		return errors.New("broken for good")
	}}, false)
	j, err := r.Do(ctx, job.Spec{Kind: "work", TenantID: 1}, nil)
	if err == nil || j.State != job.Waiting {
		t.Fatalf("%+v: %v", j, err)
	}
	if _, err := r.Start(ctx, job.Spec{Kind: "work", TenantID: 1}); !errors.Is(err, job.ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := r.Start(ctx, job.Spec{Kind: "work", TenantID: 2}); err != nil {
		t.Errorf("another tenant's: %v", err)
	}
	h.clock.pass(time.Hour)
	h.process(job.Kind{Work: func(context.Context, *job.Run) error { return errors.New("broken for good") }}, true)
	j, err = r.Watch(ctx, j.ID, nil)
	if !errors.Is(err, job.ErrFailed) || j.State != job.Failed || j.Error != "broken for good" {
		t.Errorf("%+v: %v", j, err)
	}
}

// Local work ends with its process: nobody goes on with it.
func TestLocal(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	aborted := false
	r := h.process(job.Kind{Local: true,
		Work:  func(ctx context.Context, _ *job.Run) error { cancel(); <-ctx.Done(); return ctx.Err() },
		Abort: func(ctx context.Context, _ *job.Run) error { aborted = ctx.Err() == nil; return nil },
	}, false)
	j, err := r.Do(ctx, job.Spec{Kind: "work"}, nil)
	if !errors.Is(err, job.ErrCancelled) || j.State != job.Cancelled || !aborted {
		t.Errorf("%+v, aborted %v: %v", j, aborted, err)
	}
}

// Local work of a process that died has failed: lists do not have it run for hours.
func TestLocalOfTheDead(t *testing.T) {
	h := newHouse(t)
	now := h.clock.now().UTC()
	left, err := h.db.Control().InsertJob(t.Context(), controldb.InsertJobParams{
		JobID: "left", Kind: "work", Local: true, State: int16(job.Running), Args: []byte("{}"), Attempts: 1, CreatedAt: now, StartedAt: &now, DueAt: now.Add(30 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := h.process(job.Kind{Local: true}, true)
	h.clock.pass(2 * time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if j, err := r.Watch(ctx, left.JobID, nil); !errors.Is(err, job.ErrFailed) || j.State != job.Failed {
		t.Errorf("%+v: %v", j, err)
	}
}
