package firehose

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// A stream that nothing happens in is not looked at. Instead the process that commits events notes so in the control
// schema, a moment afterwards and for all its tenants together, and each process that is followed reads what the others
// have noted with one statement ([Tails.RunNotes]). Each process writes noteSlots rows of its own over and over. n counts
// its notes, so a reader sees that it has missed some, and then looks at all streams that are followed, once.
//
// A note is a hint. It is lost if its process dies between the commit and the note; then all streams are looked at when
// that process is not in the list any more. What is lost by other ways is found by looking at each stream every few
// minutes. Where notes cannot be relied on, streams are looked at one by one as if there were none.

const (
	// noteSlots is how many notes of a process are there at a time: with noteEvery between them, a reader may be away for
	// a second and a half.
	noteSlots = 64
	// noteEvery is how far two notes of a process are apart. The first one after a while does not wait.
	noteEvery = 25 * time.Millisecond
	// noteTenants bounds one note, notesWaiting what waits to be noted. Beyond it readers are made to look at everything.
	noteTenants  = 500
	notesWaiting = 100_000
	// noteTime bounds one statement, noteRetry is the longest time between two attempts.
	noteTime  = 3 * time.Second
	noteRetry = time.Second
	// notesKept is how long a note stays: much longer than any reader is away.
	notesKept = 10 * time.Minute
	// notesAtOnce is how many notes are read at once.
	notesAtOnce = 4096
	// aliveWithin is since when a process that may read notes must have been seen.
	aliveWithin = time.Minute
	// NotesSince is the version of the control schema by which a program writes notes.
	NotesSince = 12
)

// anyway is the number that is noted where none is known: the stream is looked at.
const anyway = math.MaxInt64

// Circle lists the other processes that serve. fresh is false if that is not known; mutual is true if it is, and all of
// them have learnt of this one and write notes.
type Circle func() (others []int64, fresh, mutual bool)

// Notes tells other processes of events that this one has committed. It is safe for concurrent use.
type Notes struct {
	db     *db.DB
	self   int64
	circle Circle
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	waiting map[string]int64 // name of a schema → its newest number
	lost    bool             // more was to be noted than is kept
	due     bool             // a write is on its way
	closed  bool
	writing sync.WaitGroup
	life    context.Context
	stop    context.CancelFunc

	one sync.Mutex // who writes; it guards the rest
	n   int64
	bad int // attempts that failed, in a row
}

// NewNotes makes the notes of a process. A command has no circle: it is nil.
func NewNotes(d *db.DB, self int64, circle Circle, now func() time.Time, log *slog.Logger) *Notes {
	n := &Notes{db: d, self: self, circle: circle, now: now, log: log, waiting: map[string]int64{}}
	n.life, n.stop = context.WithCancel(context.Background())
	return n
}

// add has a tenant noted. It never blocks. A nil Notes notes nothing.
func (n *Notes) add(name string, seq int64) {
	if n == nil || n.alone() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if _, there := n.waiting[name]; !there && len(n.waiting) >= notesWaiting {
		n.lost = true
		clear(n.waiting)
	}
	n.waiting[name] = max(n.waiting[name], seq)
	n.begin()
}

// alone tells that surely nobody else reads.
func (n *Notes) alone() bool {
	if n.circle == nil {
		return false
	}
	others, fresh, _ := n.circle()
	return fresh && len(others) == 0
}

// begin has what waits written, with the lock held.
func (n *Notes) begin() {
	if n.due || n.closed {
		return
	}
	n.due = true
	n.writing.Go(n.write)
}

// write writes one note, and has the next one written if there is more.
func (n *Notes) write() {
	ctx, cancel := context.WithTimeout(n.life, noteTime)
	defer cancel()
	err := n.step(ctx)
	wait := noteEvery
	switch {
	case err == nil:
		n.bad = 0
	default:
		n.bad++
		wait = min(noteEvery<<min(n.bad, 10), noteRetry)
		if n.bad == 1 && n.life.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
			n.log.Warn("other processes cannot be told of events; they find them later", "err", err)
		}
	}
	// What comes meanwhile waits, so that notes are apart.
	time.AfterFunc(wait, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.due = false
		if len(n.waiting) > 0 || n.lost {
			n.begin()
		}
	})
}

// take takes what the next note says.
func (n *Notes) take() (batch map[string]int64, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lost, n.lost = n.lost, false
	if len(n.waiting) <= noteTenants {
		batch, n.waiting = n.waiting, map[string]int64{}
		return batch, lost
	}
	batch = make(map[string]int64, noteTenants)
	for name, seq := range n.waiting {
		batch[name] = seq
		delete(n.waiting, name)
		if len(batch) == noteTenants {
			break
		}
	}
	return batch, lost
}

// step writes one note.
func (n *Notes) step(ctx context.Context) error {
	n.one.Lock()
	defer n.one.Unlock()
	batch, lost := n.take()
	if len(batch) == 0 && !lost {
		return nil
	}
	next := n.n + 1
	if lost {
		next += noteSlots // a number is missing: readers look at everything
	}
	now := n.now().UTC()
	arg := controldb.UpsertStreamNoteParams{ProcessID: n.self, Slot: int32(next % noteSlots), N: next, Now: now, AliveSince: now.Add(-aliveWithin),
		Schemas: make([]string, 0, len(batch)), Seqs: make([]int64, 0, len(batch))}
	for name, seq := range batch {
		arg.Schemas, arg.Seqs = append(arg.Schemas, name), append(arg.Seqs, seq)
	}
	written, err := n.db.Control().UpsertStreamNote(ctx, arg)
	switch {
	case err == nil && written > 0:
		n.n = next
	case errors.Is(err, db.ErrUnknownOutcome): // it is noted again, by another number
		n.n = next
	}
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.lost = n.lost || lost
		for name, seq := range batch {
			n.waiting[name] = max(n.waiting[name], seq)
		}
	}
	return err
}

// Flush writes what waits. A command calls it before it ends.
func (n *Notes) Flush(ctx context.Context) error {
	for n != nil {
		n.mu.Lock()
		none := len(n.waiting) == 0 && !n.lost
		n.mu.Unlock()
		if none {
			break
		}
		if err := n.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close writes what waits and ends. Close it before the database, behind all that writes events.
func (n *Notes) Close(ctx context.Context) error {
	if n == nil {
		return nil
	}
	err := n.Flush(ctx)
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.stop()
	n.writing.Wait()
	return err
}
