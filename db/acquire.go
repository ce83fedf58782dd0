package db

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How long a connection is waited for: when all are stuck, requests behind them are refused. Exports and migrations
// wait longer, because they keep their connections for long.
const (
	acquireTime     = 15 * time.Second
	acquireLongTime = 2 * time.Minute
)

// tenantWaiting is how many of one tenant may wait for a connection.
const tenantWaiting = 4096

type pooled = pgxpool.Conn // whose name is a method's, too

// lease is a connection of a pool, until it is released.
type lease struct {
	*pooled
	pool  *pool
	place *fair.Hold
	done  func() // with a usual connection; nil: it is none of those
}

// Release gives the connection back.
func (l *lease) Release() {
	l.pooled.Release()
	l.leave()
}

// leave gives up what a connection was taken on.
func (l *lease) leave() {
	if l.done != nil {
		l.done()
	}
	l.place.Release()
}

// acquire waits for the tenant's turn and a connection, and passes over those that died while they were idle. Finding
// that out before a statement is sent is what keeps a restarted server from looking like an unknown outcome.
func acquire(ctx context.Context, pool *pool, k kind) (l *lease, err error) {
	pool = pool.chosen(ctx)
	if pool.refuse != nil {
		return nil, pool.refuse
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pool.wait)
		defer cancel()
	}
	l = &lease{pool: pool}
	if pool.places != nil {
		l.place, err = pool.places.Take(ctx, pool.path(k)...)
		switch {
		case errors.Is(err, context.Canceled):
			return nil, err
		case errors.Is(err, fair.ErrNoPlace), errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrBusy, err)
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	from, done := pool.take()
	l.done = done
	l.pooled, err = live(ctx, pool, from)
	if err != nil {
		l.leave()
		return nil, err
	}
	return l, nil
}

func live(ctx context.Context, pool *pool, from *pgxpool.Pool) (*pgxpool.Conn, error) {
	if pool.lines.isCut() {
		return nil, ErrGivenUp
	}
	for tries := 2000; ; tries-- { // more than any pool holds
		c, err := from.Acquire(ctx)
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if tries <= 0 || !isDead(c) {
			return c, nil
		}
		_ = c.Conn().Close(ctx) // of a dead connection: the error is why
		c.Release()
	}
}

// isDead looks whether the server has ended an idle connection: the socket's end, or a last word, is waiting to be
// read. It neither reads nor waits.
func isDead(c *pgxpool.Conn) bool {
	conn := c.Conn().PgConn().Conn()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	dead := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		dead = !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return dead || err != nil
}
