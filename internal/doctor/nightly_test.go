package doctor_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/doctor"
)

// nights are processes on one database, with one clock and one operator.
type nights struct {
	mu      sync.Mutex
	now     time.Time
	finds   []doctor.Finding
	looked  int
	letters []string
	refused error
}

func (w *nights) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *nights) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *nights) tell(_ context.Context, subject, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused == nil {
		w.letters = append(w.letters, subject+"\n"+text)
	}
	return w.refused
}

func (w *nights) checks(context.Context) ([]doctor.Check, error) {
	return []doctor.Check{{Group: "pds.test", Name: "thing", About: "a thing", Look: func(context.Context) []doctor.Finding {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.looked++
		return w.finds
	}}}, nil
}

// TestNightly: each night one process looks, keeps what it found, and writes when there is something to say.
func TestNightly(t *testing.T) {
	d := dbtest.New(t)
	w := &nights{now: time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC)}
	process := func() *doctor.Nightly {
		return &doctor.Nightly{DB: d, Checks: w.checks, Tell: w.tell, Hour: 3, Address: "host 127.0.0.1:1", Now: w.clock, Log: slog.New(slog.DiscardHandler)}
	}
	one, two := process(), process()
	visits := func(want int) {
		t.Helper()
		before := w.looked
		var both sync.WaitGroup
		for _, p := range []*doctor.Nightly{one, two} {
			both.Go(func() {
				if _, err := p.Visit(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if got := w.looked - before; got != want {
			t.Errorf("%d visits at %v, want %d", got, w.clock(), want)
		}
	}
	letters := func(want int, part string) {
		t.Helper()
		if len(w.letters) != want || want > 0 && !strings.Contains(w.letters[want-1], part) {
			t.Fatalf("letters: %q", w.letters)
		}
	}
	visits(0)
	if last, never, err := doctor.ReadLast(t.Context(), d); err != nil || !never || !last.NextAt.Equal(w.now.Add(30*time.Minute)) {
		t.Fatal(last, never, err)
	}
	w.advance(30 * time.Minute)
	visits(1)
	letters(0, "")
	last, never, err := doctor.ReadLast(t.Context(), d)
	if err != nil || never || last.Checks != 1 || len(last.Results) != 1 || last.LookedBy != one.Address || !last.NextAt.Equal(time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v %v %v", last, never, err)
	}
	warning := doctor.Finding{Severity: doctor.Warning, Name: "low", Wrong: "wrong", Seen: "seen", Do: "do"}
	w.finds = []doctor.Finding{warning}
	w.advance(90 * time.Minute)
	visits(1)
	letters(1, "0 errors, 1 warnings")
	w.advance(24 * time.Hour)
	visits(1)
	letters(1, "") // it was told
	w.finds = []doctor.Finding{warning, {Severity: doctor.Error, Name: "gone", Wrong: "bad", Seen: "seen", Do: "do"}}
	if err := doctor.Ask(t.Context(), d, w.clock()); err != nil {
		t.Fatal(err)
	}
	visits(1)
	letters(2, "error: pds.test: bad (gone)\n  seen:  seen\n  to do: do")
	w.advance(24 * time.Hour)
	visits(1)
	letters(3, "1 errors") // what does not work is told each night
	visits(0)
	if c := one.Counts(); c != two.Counts() || c.Errors != 1 || c.Warnings != 1 || !c.Ended.Equal(w.now) {
		t.Errorf("%+v %+v", c, two.Counts())
	}
	w.finds = nil
	w.refused = errors.New("no such mailbox")
	w.advance(24 * time.Hour)
	visits(1)
	if last, _, err := doctor.ReadLast(t.Context(), d); err != nil || last.TellError != "no such mailbox" || !last.NextAt.Equal(w.now.Add(time.Hour)) {
		t.Fatalf("%+v %v", last, err)
	}
	w.refused = nil
	w.advance(time.Hour)
	visits(1)
	letters(4, "nothing is wrong any more")
	if last, _, err := doctor.ReadLast(t.Context(), d); err != nil || last.TellError != "" || !last.ToldAt.Equal(w.now) {
		t.Fatalf("%+v %v", last, err)
	}
}

// TestNightlyEnds: a process that is stopped gives its turn back, and one that died loses it.
func TestNightlyEnds(t *testing.T) {
	d := dbtest.New(t)
	w := &nights{now: time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC)}
	process := func(checks func(context.Context) ([]doctor.Check, error)) *doctor.Nightly {
		return &doctor.Nightly{DB: d, Checks: checks, Now: w.clock, Log: slog.New(slog.DiscardHandler)}
	}
	other := process(w.checks)
	visit := func(want bool) {
		t.Helper()
		if done, err := other.Visit(t.Context()); done != want || err != nil {
			t.Fatal(done, err)
		}
	}
	visit(false)
	w.advance(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	ending := process(func(context.Context) ([]doctor.Check, error) { stop(); return nil, nil })
	if done, err := ending.Visit(ctx); done || !errors.Is(err, context.Canceled) {
		t.Fatal(done, err)
	}
	visit(true)

	w.advance(24 * time.Hour)
	dying := process(func(context.Context) ([]doctor.Check, error) { // as if it stood still
		visit(false)
		w.advance(time.Hour)
		visit(true)
		return nil, nil
	})
	if done, err := dying.Visit(t.Context()); done || err != nil {
		t.Fatal("what was found too late was kept", done, err)
	}
}
