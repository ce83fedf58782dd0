package firehose

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/fair"
)

// Errors of subscriptions.
var (
	// ErrFutureCursor: the cursor is of an event that does not exist yet.
	ErrFutureCursor = errors.New("cursor in the future")
	// ErrTooSlow: the subscriber fell further behind than is kept for it.
	ErrTooSlow = errors.New("stream consumer too slow")
	// ErrClosed: the process is going down.
	ErrClosed = errors.New("streams are closed")
)

// Config bounds the streams of a process. Zero values take the defaults.
type Config struct {
	// Notes tell of events of other processes, once RunNotes runs. nil: they are found by polling alone.
	Notes *Notes
	// Walk is how often a quiet stream is looked at while notes can be relied on, in case one was lost. Default 4
	// minutes, and longer for more than 2,400 streams.
	Walk time.Duration
	// Poll is how often the number of the newest event is read while a tenant is followed and notes cannot be relied on:
	// events of other processes are found by it. A stream that has been quiet for some seconds is looked at every
	// QuietPoll. Defaults: 25 ms, 250 ms.
	Poll, QuietPoll time.Duration
	// RingEvents, RingBytes and RingAge bound the events that are kept in memory for one tenant, and so how far a
	// subscriber may fall behind. Defaults: 32,768; 32 MiB; a minute.
	RingEvents int
	RingBytes  int
	RingAge    time.Duration
	// TotalBytes bounds them for all tenants of the process: each ring then has its equal share, 1 MiB at least.
	// Default 512 MiB.
	TotalBytes int
	// PageEvents and PageBytes bound what a subscriber that is behind the ring reads from the table at once. Defaults:
	// 500; 128 KiB.
	PageEvents, PageBytes int
	// Readers is how many such pages are read at the same time, by turns of tenants and of addresses at them. Default
	// 3.
	Readers int
	// Linger is how long a stream is followed after its last subscriber left. Default 5 s.
	Linger time.Duration
	// HoleWait is how long a number without an event is waited for. Default 3 s.
	HoleWait time.Duration
	// StepBack is told of events that were sent and are not in the database any more, and tells the accounts concerned
	// anew. It is called again after an error, and by each process that has seen any.
	StepBack func(context.Context, Lost) error
}

func (c Config) withDefaults() Config {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	wait := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	wait(&c.Walk, 4*time.Minute)
	wait(&c.Poll, 25*time.Millisecond)
	wait(&c.QuietPoll, 250*time.Millisecond)
	set(&c.RingEvents, 32<<10)
	set(&c.RingBytes, 32<<20)
	wait(&c.RingAge, time.Minute)
	set(&c.TotalBytes, 512<<20)
	set(&c.PageEvents, 500)
	set(&c.PageBytes, 128<<10)
	set(&c.Readers, 3)
	wait(&c.Linger, 5*time.Second)
	wait(&c.HoleWait, 3*time.Second)
	return c
}

// readerWait is how long a subscriber that reads pages waits for its turn before it looks whether there is a ping to
// write. readersWaiting is how many of a tenant may wait: as many as it may have subscribers.
const (
	readerWait     = 10 * time.Second
	readersWaiting = 100_000
)

// minRing is a ring's share when very many tenants are followed.
const minRing = 1 << 20

// Tails follows the streams of tenants that have subscribers in this process: one reader for each, however many they
// are. Tenants nobody listens to cost nothing.
type Tails struct {
	db  *db.DB
	hub *Hub
	now func() time.Time
	log *slog.Logger
	cfg Config

	life    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	readers *fair.Places // one for each page being read

	awake   chan struct{} // somebody follows a stream
	reads   atomic.Int64  // of notes
	relying sync.Mutex
	relied  atomic.Pointer[relied]

	mu     sync.Mutex
	tails  map[string]*tail // by the name of the schema
	subs   map[*Subscription]struct{}
	paces  map[int32]chan struct{} // places of those who look at quiet streams, by database
	closed bool

	sent, tooSlow                     atomic.Int64 // see Stats
	notesRead, notesLate, notesMissed atomic.Int64 // likewise
}

// NewTails makes a Tails that is woken by hub. Close it before the database.
func NewTails(d *db.DB, hub *Hub, now func() time.Time, log *slog.Logger, cfg Config) *Tails {
	t := &Tails{
		db: d, hub: hub, now: now, log: log, cfg: cfg.withDefaults(), tails: map[string]*tail{}, subs: map[*Subscription]struct{}{},
		paces: map[int32]chan struct{}{}, awake: make(chan struct{}, 1),
	}
	t.relied.Store(&relied{})
	t.life, t.stop = context.WithCancel(context.Background())
	t.readers = fair.NewTurns(t.cfg.Readers, fair.Waiting{Time: readerWait, First: readersWaiting, Whole: readersWaiting})
	return t
}

// Close ends all subscriptions and waits for the readers.
func (t *Tails) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.stop()
	t.running.Wait()
}

// Followed is how many tenants' streams are being read.
func (t *Tails) Followed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.tails)
}

// follow gives the tenant's tail, with one more subscriber, once it knows where the stream is.
func (t *Tails) follow(ctx context.Context, s db.Schema) (*tail, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	tl := t.tails[s.String()]
	if tl == nil {
		tl = &tail{tails: t, tenant: t.db.Tenant(s), ready: make(chan struct{}), nudged: make(chan struct{}, 1)}
		t.tails[s.String()] = tl
		t.running.Go(tl.run)
		select {
		case t.awake <- struct{}{}:
		default:
		}
	}
	tl.refs++
	t.mu.Unlock()
	select {
	case <-tl.ready:
		return tl, nil
	case <-ctx.Done():
		t.leave(tl)
		return nil, ctx.Err()
	case <-t.life.Done():
		t.leave(tl)
		return nil, ErrClosed
	}
}

// leave takes a subscriber away. Somebody may come back at once, so the tail lingers.
func (t *Tails) leave(tl *tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tl.refs--; tl.refs == 0 {
		tl.idle = t.now()
		tl.nudge(wantNothing)
	}
}

// abandoned takes a tail out if nobody has listened to it for a while. It is asked by the tail itself.
func (t *Tails) abandoned(tl *tail) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.now().Sub(tl.idle)
	if tl.refs > 0 || since >= 0 && since < t.cfg.Linger {
		return false
	}
	if t.tails[tl.tenant.Schema().String()] == tl {
		delete(t.tails, tl.tenant.Schema().String())
	}
	return true
}

// drop takes out a tail that is of no use any more, whoever listens.
func (t *Tails) drop(tl *tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tails[tl.tenant.Schema().String()] == tl {
		delete(t.tails, tl.tenant.Schema().String())
	}
}

// share is how many bytes a ring may keep now.
func (t *Tails) share() int {
	n := t.Followed()
	if n == 0 {
		return t.cfg.RingBytes
	}
	return min(t.cfg.RingBytes, max(minRing, t.cfg.TotalBytes/n))
}
