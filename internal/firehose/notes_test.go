package firehose_test

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
)

// never is longer than any test: what waits for it does not happen.
const never = 24 * time.Hour

// circle is the processes that serve, as a test says.
type circle struct{ ids atomic.Pointer[[]int64] }

func circleOf(ids ...int64) *circle {
	c := &circle{}
	c.set(ids...)
	return c
}

func (c *circle) set(ids ...int64) { c.ids.Store(&ids) }

func (c *circle) ask() (others []int64, fresh, mutual bool) { return *c.ids.Load(), true, true }

// quiet is two processes: self follows a stream by notes alone, other writes.
type quiet struct {
	t      *testing.T
	db     *db.DB
	url    string
	schema db.Schema
	circle *circle
	tails  *firehose.Tails
	sub    *firehose.Subscription
	seq    int64 // the newest number that was published
}

const self, other = 1, 2

func newQuiet(t *testing.T, cfg firehose.Config) *quiet {
	t.Helper()
	url := dbtest.URL(t)
	q := &quiet{t: t, url: url, db: dbtest.Open(t, url), circle: circleOf(other)}
	q.schema = dbtest.Tenant(t, q.db)
	q.serves(self)
	q.serves(other)
	log := slog.New(slog.NewTextHandler(&logged{t: t}, nil))
	cfg.Notes = firehose.NewNotes(q.db, self, q.circle.ask, time.Now, log)
	cfg.Poll, cfg.QuietPoll = never, never
	if cfg.Walk == 0 {
		cfg.Walk = never
	}
	q.tails = firehose.NewTails(q.db, firehose.NewHub(), time.Now, log, cfg)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.tails.RunNotes(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		q.tails.Close()
	})
	var err error
	if q.sub, err = q.tails.Subscribe(t.Context(), q.schema, firehose.From{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.sub.Close)
	q.await("the stream is watched by notes", func() bool { return q.tails.Watched(q.schema) })
	return q
}

// serves says that a process is there.
func (q *quiet) serves(id int64) {
	q.t.Helper()
	now := time.Now().UTC()
	if _, err := q.db.Control().UpsertProcess(q.t.Context(), controldb.UpsertProcessParams{ProcessID: id, StartedAt: now, SeenAt: now}); err != nil {
		q.t.Fatal(err)
	}
}

func (q *quiet) await(what string, there func() bool) {
	q.t.Helper()
	for began := time.Now(); !there(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			q.t.Fatal("never: ", what)
		}
	}
}

// writer is a process, or a command, with notes of its own; nil: it says nothing.
func (q *quiet) writer(notes *firehose.Notes) *firehose.Hub {
	hub := firehose.NewHub()
	hub.Tell(notes)
	return hub
}

func (q *quiet) notes(id int64, c firehose.Circle) *firehose.Notes {
	q.t.Helper()
	n := firehose.NewNotes(q.db, id, c, time.Now, slog.New(slog.DiscardHandler))
	q.t.Cleanup(func() {
		if err := n.Close(context.WithoutCancel(q.t.Context())); err != nil {
			q.t.Error(err)
		}
	})
	return n
}

// publish commits an event.
func (q *quiet) publish(hub *firehose.Hub) {
	q.t.Helper()
	last, err := hub.Publish(q.t.Context(), q.db.Tenant(q.schema), func(*tenantdb.Queries) ([]firehose.Event, error) {
		return []firehose.Event{firehose.NewIdentity(1, did, "a.test", time.Now())}, nil
	})
	if err != nil {
		q.t.Fatal(err)
	}
	if last != q.seq+1 {
		q.t.Fatalf("event %d follows %d", last, q.seq)
	}
	q.seq = last
}

// sees waits until the subscriber has everything that was published.
func (q *quiet) sees() {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(q.t.Context(), time.Minute)
	defer cancel()
	for got := int64(0); got < q.seq; {
		items, err := q.sub.Next(ctx, nil)
		if err != nil {
			q.t.Fatalf("the subscriber does not get event %d: %v", q.seq, err)
		}
		got = items[len(items)-1].Seq
	}
}

// TestNotes: an event of another process, and of a command that ends at once, is seen through its note alone.
func TestNotes(t *testing.T) {
	t.Parallel()
	q := newQuiet(t, firehose.Config{})
	server := q.writer(q.notes(other, circleOf(self).ask))
	for range 3 {
		q.publish(server)
		q.sees()
	}
	if s := q.tails.Stats(); s.ByNotes != 1 || s.ByLooking != 0 || s.Notes < 2 || s.NotesLate < 0 || s.NotesMissed != 0 {
		t.Errorf("%+v", s)
	}
	command := firehose.NewNotes(q.db, 77, nil, time.Now, slog.New(slog.DiscardHandler))
	q.publish(q.writer(command))
	if err := command.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	q.sees()
	// A move changes the database that a schema is in, not its name.
	hub := q.writer(q.notes(other+1, circleOf(self).ask))
	q.publish(q.writer(nil))
	hub.Notify(q.schema.On(5), q.seq)
	q.sees()
}

// TestNotesLost: what was written and never noted is seen by the next note of the process that misses one, when the
// process is not there any more, and otherwise by looking at the stream now and then.
func TestNotesLost(t *testing.T) {
	t.Parallel()
	silent := func(q *quiet) { q.publish(q.writer(nil)) }
	t.Run("a note that is not there", func(t *testing.T) {
		t.Parallel()
		q := newQuiet(t, firehose.Config{})
		elsewhere := dbtest.Tenant(t, q.db)
		hub := q.writer(q.notes(other, circleOf(self).ask))
		q.publish(hub)
		q.sees()
		silent(q)
		// The process's next number, and another one behind it: the first of them is missing.
		for _, n := range []int64{3, 4} {
			note(t, q, other, n, elsewhere)
		}
		q.sees()
	})
	t.Run("more notes than are kept", func(t *testing.T) {
		t.Parallel()
		q := newQuiet(t, firehose.Config{})
		elsewhere := dbtest.Tenant(t, q.db)
		note(t, q, other, 1, elsewhere)
		silent(q)
		note(t, q, other, 1+3*firehose.NoteSlots, elsewhere)
		q.sees()
		q.await("the missing notes are counted", func() bool { return q.tails.Stats().NotesMissed > 0 })
	})
	t.Run("a process that died", func(t *testing.T) {
		t.Parallel()
		q := newQuiet(t, firehose.Config{})
		silent(q)
		q.circle.set()
		q.sees()
	})
	t.Run("by whatever way", func(t *testing.T) {
		t.Parallel()
		q := newQuiet(t, firehose.Config{Walk: 200 * time.Millisecond})
		silent(q)
		q.sees()
	})
	t.Run("too many to be noted", func(t *testing.T) {
		t.Parallel()
		q := newQuiet(t, firehose.Config{})
		notes := q.notes(other, circleOf(self).ask)
		silent(q)
		notes.Lose()
		q.sees()
	})
}

// note writes a note by hand.
func note(t *testing.T, q *quiet, process, n int64, s db.Schema) {
	t.Helper()
	now := time.Now().UTC()
	_, err := q.db.Control().UpsertStreamNote(t.Context(), controldb.UpsertStreamNoteParams{
		ProcessID: process, Slot: int32(n % firehose.NoteSlots), N: n, Schemas: []string{s.String()}, Seqs: []int64{1}, Now: now, AliveSince: now.Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNotesAway: while notes cannot be read streams are looked at one by one, and when they can be again everything is
// looked at once.
func TestNotesAway(t *testing.T) {
	t.Parallel()
	q := newQuiet(t, firehose.Config{})
	execSQL(t, q.url, "ALTER TABLE control.stream_note RENAME TO stream_note_away")
	q.await("notes are not relied on", func() bool { return !q.tails.Watched(q.schema) })
	q.publish(q.writer(nil))
	execSQL(t, q.url, "ALTER TABLE control.stream_note_away RENAME TO stream_note")
	q.sees() // here nobody polls
	q.await("notes are relied on again", func() bool { return q.tails.Watched(q.schema) })
}

// TestNotesNotMutual: where another process may not know of this one, streams are looked at one by one.
func TestNotesNotMutual(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	schema := dbtest.Tenant(t, d)
	log := slog.New(slog.DiscardHandler)
	tails := firehose.NewTails(d, firehose.NewHub(), time.Now, log, firehose.Config{
		Walk: never, Notes: firehose.NewNotes(d, self, func() ([]int64, bool, bool) { return []int64{other}, true, false }, time.Now, log),
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tails.RunNotes(ctx) }()
	defer func() { stop(); <-ended; tails.Close() }()
	sub, err := tails.Subscribe(t.Context(), schema, firehose.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	q := &quiet{t: t, db: d, schema: schema, sub: sub, tails: tails}
	for range 2 {
		q.publish(firehose.NewHub())
		q.sees()
	}
	if tails.Watched(schema) {
		t.Error("notes are relied on")
	}
}

// TestNotesCostNothing: where nothing happens nothing is written, and where nobody else serves nothing is noted. A stream
// that nobody follows has no notes read.
func TestNotesCostNothing(t *testing.T) {
	t.Parallel()
	q := newQuiet(t, firehose.Config{Linger: 20 * time.Millisecond})
	rows := func() (n int64) {
		var all []controldb.ListStreamNotesRow
		all, err := q.db.Control().ListStreamNotes(t.Context(), controldb.ListStreamNotesParams{MaxRows: 100})
		if err != nil {
			t.Fatal(err)
		}
		return int64(len(slices.DeleteFunc(all, func(r controldb.ListStreamNotesRow) bool { return r.ProcessID == 0 })))
	}
	q.await("some reading", func() bool { return q.tails.NotesRead() > 5 })
	if n := rows(); n != 0 {
		t.Errorf("%d notes, and nothing happened", n)
	}
	looks := q.tails.Looks(q.schema)
	before := q.tails.NotesRead()
	q.await("more reading", func() bool { return q.tails.NotesRead() > before+5 })
	if now := q.tails.Looks(q.schema); now != looks {
		t.Errorf("the quiet stream was looked at %d times", now-looks)
	}
	alone := q.notes(other, circleOf().ask)
	q.publish(q.writer(alone))
	if err := alone.Flush(t.Context()); err != nil || rows() != 0 {
		t.Errorf("alone, %d notes: %v", rows(), err)
	}
	// A command does not know who serves; the statement finds out.
	for _, id := range []int64{self, other} {
		if err := q.db.Control().DeleteProcess(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	command := q.notes(77, nil)
	q.publish(q.writer(command))
	if err := command.Flush(t.Context()); err != nil || rows() != 0 {
		t.Errorf("nobody serves, %d notes: %v", rows(), err)
	}
	q.sub.Close()
	q.await("nobody follows", func() bool { return !q.tails.Relied() })
}
