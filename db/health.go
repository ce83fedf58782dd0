package db

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pool is connections that are used alike.
type pool struct {
	*pgxpool.Pool
	wait    time.Duration // how long a connection is waited for
	timeout time.Duration // after which the server ends a statement; 0: never
	answer  time.Duration // how long one answer is waited for; 0: as long as the caller does
	lines   *lines
	health  *health
	bouncer *bouncer // nil: straight to the server
	at      *server  // whose connections these are

	roles    bool   // a tenant's statements have the rights of its role
	database string // that is connected to, for roles' names

	refuse error        // why it gives no connections; nil: it does
	places *fair.Places // of tenants' connections, which take turns; nil: nobody's in particular
	kept   *keptPool    // beside the others; nil: none
	kinds  bool         // what waits for a commit and what reads take turns, too
	tenant string       // whose turn it is

	background *pool // where work goes that nobody waits for; nil: here
	writes     *listener
}

// listener is who wants to know of tenants that were written to.
type listener struct {
	told atomic.Pointer[func(schema string, routine bool)]
}

// saw is told what became of something that was asked; wrote: of something that commits.
func (p *pool) saw(ctx context.Context, err error, wrote bool) {
	p.health.saw(ctx, err, wrote)
	if !wrote || p.tenant == "" || ctx.Value(backgroundKey{}) != nil {
		return
	}
	if told := p.writes.told.Load(); told != nil {
		(*told)(p.tenant, ctx.Value(routineKey{}) != nil)
	}
}

type routineKey struct{}

// Routine marks writes from which nothing follows that has to be done soon: commits of records, counts. There are so many
// of them that looking at the tenant after each would cost more than the rest of what goes on beside the requests.
func Routine(ctx context.Context) context.Context { return context.WithValue(ctx, routineKey{}, true) }

// of is the pool in a tenant's name.
func (p *pool) of(s Schema) *pool {
	own := *p
	own.tenant = s.name
	return &own
}

// patience bounds the wait for one answer. A server that went without a word, or behind a network that drops what is
// sent to it, never gives one.
func (p *pool) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.answer <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, p.answer)
}

// leaveStandby ends a connection to a server that cannot be written to: it was a primary once, and another is now.
func leaveStandby(c *pgx.Conn, err error) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == codeReadOnly {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx) // the next one is made to a server that can
	}
}

// health tells the log when the database stops answering and when it answers again, once for all that ask it.
type health struct {
	reach, commits outage
}

func newHealth(where string, log *slog.Logger) *health {
	log = log.With("database", where)
	return &health{
		reach:   outage{log: log, begins: "the database does not answer; requests are refused", ends: "the database answers again"},
		commits: outage{log: log, begins: "commits are not confirmed; requests are refused", ends: "commits are confirmed again"},
	}
}

// saw is told what became of something that was asked; wrote: of something that commits.
func (h *health) saw(ctx context.Context, err error, wrote bool) {
	switch {
	case err == nil:
		h.reach.over()
		if wrote {
			h.commits.over()
		}
	case ctx.Err() != nil: // the caller's own end of patience
	case errors.Is(err, ErrNoNode): // nobody was asked
	case errors.Is(err, ErrBusy): // those that have the connections will tell
	case errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrFull):
		h.commits.failed(err)
	case errors.Is(err, ErrSlow): // one statement's trouble
	case errors.Is(err, ErrUnavailable):
		h.reach.failed(err)
	}
}

// calm is how long nothing must have failed before an outage counts as over.
const calm = time.Second

// outage is a time in which things fail.
type outage struct {
	log          *slog.Logger
	begins, ends string

	on          atomic.Bool
	mu          sync.Mutex
	since, last time.Time
	refused     int
}

func (o *outage) failed(err error) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused++
	o.last = now
	if !o.on.Swap(true) {
		o.since = now
		o.log.Error(o.begins, "err", err)
	}
}

func (o *outage) over() {
	if !o.on.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.on.Load() && now.Sub(o.last) >= calm {
		o.log.Warn(o.ends, "after", now.Sub(o.since).Round(100*time.Millisecond), "failed", o.refused)
		o.refused = 0
		o.on.Store(false)
	}
}
