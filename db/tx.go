package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// txAttempts bounds how often a transaction's body runs. Deadlocks resolve in one more try; what fails five times has
// another reason.
const txAttempts = 5

// transact runs body in a transaction, again when Postgres asks for it.
func transact(ctx context.Context, pool *pool, opts pgx.TxOptions, body func(tx pgx.Tx) error) error {
	return repeated(ctx, func() error {
		err := transactOnce(ctx, pool, opts, body)
		pool.saw(ctx, err, true)
		return err
	})
}

// repeated does again what Postgres took back because of others: see [txAttempts].
func repeated(ctx context.Context, once func() error) error {
	for attempt := 1; ; attempt++ {
		err := once()
		if attempt == txAttempts || !isRetryable(err) {
			return err
		}
		// Both sides of a conflict must not come back at the same moment.
		wait := time.Millisecond << attempt
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait + rand.N(wait)):
		}
	}
}

func transactOnce(ctx context.Context, pool *pool, opts pgx.TxOptions, body func(tx pgx.Tx) error) (err error) {
	conn, tx, err := begin(ctx, pool, opts)
	if err != nil {
		return err
	}
	defer conn.Release()
	committing := false
	defer func() {
		if committing {
			return
		}
		// Also after a panic, and when ctx has ended: a lock that stays is worse than a moment's wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // if it fails the connection is closed, which rolls back as well
	}()
	if err := body(tx); err != nil {
		leaveStandby(conn.Conn(), err)
		return err // nothing was committed, so a broken connection is "unavailable", never "unknown"
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	committing = true
	answer, cancel := pool.patience(ctx)
	defer cancel()
	if err := tx.Commit(answer); err != nil {
		switch {
		case errors.Is(err, pgx.ErrTxCommitRollback), answeredCommit(err):
			return fmt.Errorf("commit: %w", classify(err))
		}
		return fmt.Errorf("commit: %w: %w", ErrUnknownOutcome, err)
	}
	if err := confirmed(conn.Conn()); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// answeredCommit tells that the server has refused to commit.
func answeredCommit(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Severity == "ERROR" || pg.SeverityUnlocalized == "ERROR")
}

// begin starts a transaction, on a second connection when the first turns out to be dead.
func begin(ctx context.Context, pool *pool, opts pgx.TxOptions) (*lease, pgx.Tx, error) {
	for try := 1; ; try++ {
		conn, err := acquire(ctx, pool, kindOfTx(opts))
		if err != nil {
			return nil, nil, err
		}
		answer, cancel := pool.patience(ctx)
		tx, err := conn.Conn().BeginTx(answer, conn.beginning(opts))
		cancel()
		if err == nil {
			return conn, tx, nil
		}
		conn.Release()
		if try > 1 || !isBroken(err) || ctx.Err() != nil {
			return nil, nil, fmt.Errorf("begin: %w", classify(unsettled(err)))
		}
	}
}
