// Package due knows for which tenants there is something to do, and when: mail to send, accounts to delete, trash to
// empty, relays to tell. It is one table in the control schema, so a process that has nothing to do asks one question
// every few seconds, however many tenants there are.
//
// A row is a promise that somebody looks at one tenant for one kind of work; what there is to do, and how it is shared
// among processes, is in the tenant's schema. A look for nothing costs little and harms nobody, so what counts is that
// no promise is missing:
//
//   - Whatever writes to a tenant's schema has it looked at soon afterwards ([Book.Touched]): the look asks the schema
//     once for all its dates, and promises them. No act has to remember to do so. Only what is routine says that it is,
//     and has it looked at an hour later: Postgres plans the question anew for each of thousands of tenants.
//   - What should not wait for that is promised by whoever causes it ([Book.Mark]).
//   - A process that dies before it has written a promise, or that was told wrong, is made good by [Walk]: every tenant
//     is looked at in full a few times a day, whoever comes first, at a pace that nobody notices.
//   - Work that a process has taken is taken by another one when its lease ends.
package due

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// Kind is a kind of work.
type Kind string

const (
	Walk     Kind = "walk"     // ask a tenant for all its dates, also those that Look leaves out
	Look     Kind = "look"     // something was written: ask for the dates that may follow from it
	Mail     Kind = "mail"     // send what waits
	Accounts Kind = "accounts" // deletions whose date has come, stale sign-ups, what deleted accounts left, record counts
	Expiries Kind = "expiries" // tokens, sessions, devices, counts of limits: what nobody comes back for
	Blobs    Kind = "blobs"    // temporary files, the trash, the quarantine
	Events   Kind = "events"   // events behind the window
	Crawls   Kind = "crawls"   // relays to tell of new events
)

const (
	// lookAfter is how long after the first of several writes a tenant is looked at.
	lookAfter = 30 * time.Second
	// routineAfter is the same for what is routine, from which only follows that its events are dropped when they are too
	// old: no tenant keeps them for less.
	routineAfter = time.Hour
	// expireAfter is the same for what expires, which is more to ask and never urgent: an expired token is refused
	// whether or not its row is there.
	expireAfter = time.Hour
	// lazily is how long a promise for later may wait to be written together with others, promptly how long one may that
	// is due within urgent.
	lazily   = time.Second
	promptly = 20 * time.Millisecond
	urgent   = 5 * time.Second
	// skew is how far the clocks of processes may lie apart.
	skew = 5 * time.Second
	// flushSlice bounds one statement.
	flushSlice = 1000
	// maxKnown bounds what is remembered; forgotten, a promise is written once more.
	maxKnown = 1 << 18
)

type entry struct {
	schema string
	kind   Kind
}

// Book is what one process promises and does. It is safe for concurrent use.
type Book struct {
	db  *db.DB
	now func() time.Time
	log *slog.Logger

	kinds    map[Kind]*kind
	begins   func(context.Context, string) (context.Context, func(error))
	working  sync.WaitGroup
	askEvery time.Duration

	mu      sync.Mutex
	known   map[entry]time.Time // promises that are written, by the date up to which somebody looks
	waiting map[entry]time.Time // those that are not
	wake    chan struct{}       // something urgent waits
	failing bool
	trips   atomic.Int64 // statements sent to the control schema
}

// New makes a book of no work: promises can be written in it. [Book.Handle] adds work, [Book.Run] does it.
func New(d *db.DB, now func() time.Time, log *slog.Logger) *Book {
	return &Book{
		db: d, now: now, log: log, kinds: map[Kind]*kind{}, askEvery: askEvery,
		begins: func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} },
		known:  map[entry]time.Time{}, waiting: map[entry]time.Time{}, wake: make(chan struct{}, 1),
	}
}

// OnWork sets what is told of each piece of work: its kind when it begins, and what came of it at its end. Set it before
// anything runs.
func (b *Book) OnWork(begins func(ctx context.Context, kind string) (context.Context, func(error))) {
	b.begins = begins
}

// Mark promises that the tenant is looked at then. It never blocks: the promise is written a moment later, unless one is
// known that serves as well.
func (b *Book) Mark(s db.Schema, k Kind, at time.Time) { b.Expect(s, k, at, at) }

// Expect is Mark for what may as well wait until latest, if somebody looks by then anyway.
func (b *Book) Expect(s db.Schema, k Kind, at, latest time.Time) {
	if s.IsZero() {
		return
	}
	b.expect(s.String(), k, at, latest, b.now())
}

// Touched is told of a write to a tenant's schema, and whether it was routine ([db.Routine]).
func (b *Book) Touched(schema string, routine bool) {
	now := b.now()
	look := now.Add(lookAfter)
	if routine {
		look = now.Add(routineAfter)
	}
	b.expect(schema, Look, look, look, now)
	b.expect(schema, Expiries, now.Add(expireAfter), now.Add(expireAfter), now)
}

func (b *Book) expect(schema string, k Kind, at, latest, now time.Time) {
	e := entry{schema, k}
	// One that comes too soon may come before what is promised for is committed, or by a clock that is ahead.
	early := now.Add(min(skew, latest.Sub(now)/4))
	b.mu.Lock()
	defer b.mu.Unlock()
	if is, ok := b.known[e]; ok && is.After(early) && !is.After(latest) {
		return
	}
	if is, ok := b.waiting[e]; ok && !is.After(at) {
		return
	}
	b.waiting[e] = at
	if at.Sub(now) < urgent {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// Flush writes what was promised. A command calls it before it ends; a process that runs needs not.
func (b *Book) Flush(ctx context.Context) error {
	for {
		b.mu.Lock()
		batch := make(map[entry]time.Time, min(len(b.waiting), flushSlice))
		for e, at := range b.waiting {
			if len(batch) == flushSlice {
				break
			}
			batch[e] = at
			delete(b.waiting, e)
		}
		b.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := b.write(ctx, batch); err != nil {
			b.mu.Lock()
			for e, at := range batch {
				if is, ok := b.waiting[e]; !ok || at.Before(is) {
					b.waiting[e] = at
				}
			}
			b.mu.Unlock()
			return fmt.Errorf("write down what is due: %w", err)
		}
	}
}

func (b *Book) write(ctx context.Context, batch map[entry]time.Time) error {
	sorted := slices.SortedFunc(maps.Keys(batch), func(x, y entry) int {
		if n := strings.Compare(x.schema, y.schema); n != 0 {
			return n
		}
		return strings.Compare(string(x.kind), string(y.kind))
	})
	var p controldb.UpsertDueParams
	for _, e := range sorted {
		p.Schemas = append(p.Schemas, e.schema)
		p.Kinds = append(p.Kinds, string(e.kind))
		p.Dues = append(p.Dues, batch[e].UTC())
	}
	b.trips.Add(1)
	rows, err := b.db.Control().UpsertDue(ctx, p)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.makeRoom()
	for _, r := range rows {
		e := entry{r.SchemaName, Kind(r.Kind)}
		// What was promised stands, even if an earlier look comes first; a floor may have made it later.
		if at := batch[e]; at.After(r.DueAt) {
			b.known[e] = at
		} else {
			b.known[e] = r.DueAt
		}
	}
	return nil
}

// makeRoom forgets what is over, or everything.
func (b *Book) makeRoom() {
	if len(b.known) < maxKnown {
		return
	}
	now := b.now()
	maps.DeleteFunc(b.known, func(_ entry, at time.Time) bool { return !at.After(now) })
	if len(b.known) > maxKnown/2 {
		clear(b.known)
	}
}

// pending tells whether there are promises to write.
func (b *Book) pending() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) > 0
}

// Statements is how many statements the book has sent.
func (b *Book) Statements() int64 { return b.trips.Load() }
