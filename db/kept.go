package db

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

// keptPool is the connections of a sub-pool beside those that tenants use day by day. They are a pool of their own, because
// each connection plans the statements of each tenant that it meets: those that are seldom needed would otherwise be taken
// like any other, and never have met the tenant that comes.
type keptPool struct {
	*pgxpool.Pool
	usual   int32        // how many connections the sub-pool has without these
	used    atomic.Int32 // of them, now
	opening atomic.Bool  // one of ours is being opened
}

// take is the pool in which there is a connection for one more, and what to do when that one is done.
func (p *pool) take() (of *pgxpool.Pool, done func()) {
	k := p.kept
	if k == nil {
		return p.Pool, nil
	}
	for {
		n := k.used.Load()
		if n >= k.usual {
			return k.Pool, nil
		}
		if k.used.CompareAndSwap(n, n+1) {
			return p.Pool, func() { k.used.Add(-1) }
		}
	}
}

// keeps tells whether a connection is idle beside those that one tenant has, and opens one if there is none: its place
// is worth more than the next turn only when it is open.
func (p *pool) keeps() bool {
	k := p.kept
	if k.Stat().IdleConns() > 0 {
		return true
	}
	if k.opening.CompareAndSwap(false, true) {
		go func() {
			defer k.opening.Store(false)
			ctx, cancel := context.WithTimeout(context.Background(), openTime)
			defer cancel()
			c, err := k.Acquire(ctx)
			if err != nil {
				return // those who want it learn why
			}
			c.Release() // idle now
			p.places.Nudge()
		}()
	}
	return false
}

// Close closes all connections of the pool.
func (p *pool) Close() {
	p.Pool.Close()
	if p.kept != nil {
		p.kept.Close()
	}
}
