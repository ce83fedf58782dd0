package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrAfterCommit means that a batch was committed, but one of its results could not be read.
var ErrAfterCommit = errors.New("committed, but the result was not understood")

// Batch is several statements sent at once, in one round trip and one transaction: all happen or none.
type Batch struct {
	tenant *Tenant
	queued []*Queued
	err    error // of queueing

	routine bool
}

// Queued is one statement of a batch. At most one of its methods is called, before Send.
type Queued struct {
	sql  string
	args []any
	read func(pgx.Rows) error // nil: the result does not matter
	tag  func(pgconn.CommandTag) error
}

// Batch starts an empty batch.
func (t *Tenant) Batch() *Batch { return &Batch{tenant: t} }

// Queue adds a statement: sql is an exported constant of tenantdb, args are its parameters in their order.
func (b *Batch) Queue(sql string, args ...any) *Queued {
	scoped, err := b.tenant.scope(sql)
	if err != nil && b.err == nil {
		b.err = err
	}
	q := &Queued{sql: scoped, args: args}
	b.queued = append(b.queued, q)
	return q
}

// Routine says whether the batch is routine, as [Routine] is for other writes. What reads the results may say that it was
// not. One of which it is unknown whether it was committed never is.
func (b *Batch) Routine(is bool) { b.routine = is }

// Len is the number of statements queued.
func (b *Batch) Len() int { return len(b.queued) }

// Exec sets what is told the number of rows the statement changed.
func (q *Queued) Exec(read func(changed int64) error) {
	q.tag = func(t pgconn.CommandTag) error { return read(t.RowsAffected()) }
}

// Row sets what reads the statement's only row. Without one it is not called and Send returns ErrNoRows with
// ErrAfterCommit.
func (q *Queued) Row(read func(row pgx.Row) error) {
	q.read = func(rows pgx.Rows) error {
		if !rows.Next() {
			return pgx.ErrNoRows
		}
		return read(batchRow{rows})
	}
}

// Each sets what reads the statement's rows, called once for each.
func (q *Queued) Each(read func(row pgx.Row) error) {
	q.read = func(rows pgx.Rows) error {
		for rows.Next() {
			if err := read(batchRow{rows}); err != nil {
				return err
			}
		}
		return nil
	}
}

// batchRow scans beside pgx: after a failed Scan of its own it refuses to read the rest of a batch, and with it whether
// the batch was committed.
type batchRow struct{ rows pgx.Rows }

func (r batchRow) Scan(dest ...any) error {
	return pgx.ScanRow(r.rows.Conn().TypeMap(), r.rows.FieldDescriptions(), r.rows.RawValues(), dest...)
}

// Send sends the batch and reads the results. A Batch is sent once.
//
// A statement that fails takes the whole batch back. What the callbacks read may still be taken back by a later
// statement's error: believe it only when Send returns nil. A callback's own error takes nothing back: the statements
// were on their way already. Send then returns it together with ErrAfterCommit.
//
// ErrUnknownOutcome: the connection broke after sending, or the server did not wait for its standby.
func (b *Batch) Send(ctx context.Context) (err error) {
	defer func() {
		if b.routine && err == nil {
			ctx = Routine(ctx)
		}
		b.tenant.here().pool.saw(ctx, err, true)
	}()
	if b.err != nil {
		return b.err
	}
	if b.tenant.schema.IsZero() {
		return ErrNoSchema
	}
	if len(b.queued) == 0 {
		return nil
	}
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := b.tenant.here()
		unread, err := b.sendOnce(ctx, at.pool)
		moved, why := b.tenant.followed(ctx, at.server, err)
		if moved {
			try--
			continue
		}
		if try == 1 && resharded(at.server, err) {
			for _, q := range b.queued {
				q.sql = b.tenant.reshard(q.sql)
			}
			continue
		}
		if why != nil {
			err = why
		}
		switch {
		case err == nil && unread != nil:
			return fmt.Errorf("%w: %w", ErrAfterCommit, unread)
		case err == nil:
			return nil
		case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnknownOutcome):
			return err
		case try == 1 && (isStalePlan(err) || notSent(err) && isBroken(err)) && ctx.Err() == nil:
			continue // nothing happened
		case notSent(err), answeredCommit(err):
			return classify(err)
		default:
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
	}
}

// sendOnce returns the first error of a callback apart from what happened to the transaction.
func (b *Batch) sendOnce(ctx context.Context, pool *pool) (unread, err error) {
	ctx, cancel := pool.patience(ctx)
	defer cancel()
	conn, err := acquire(ctx, pool, b.kind())
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	// Up to its one Sync a pipeline is one implicit transaction: no BEGIN, no COMMIT.
	var batch pgx.Batch
	said := conn.settling(b.kind())
	if said.sql != "" {
		batch.Queue(said.sql, said.args...)
	}
	for _, q := range b.queued {
		batch.Queue(q.sql, q.args...)
	}
	defer func() { leaveStandby(conn.Conn(), err) }()
	results := conn.Conn().SendBatch(ctx, &batch)
	if said.sql != "" {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // says the same, or less
			return nil, unsettled(err)
		}
	}
	for _, q := range b.queued {
		err := q.receive(results, func(e error) {
			if unread == nil {
				unread = e
			}
		})
		if err != nil {
			_ = results.Close() // says the same, or less
			return nil, err
		}
	}
	// Committed: the answer to Sync has arrived. (Before it, every statement may have succeeded and still be lost.)
	if err := results.Close(); err != nil {
		return unread, err
	}
	return unread, confirmed(conn.Conn())
}

func (q *Queued) receive(results pgx.BatchResults, unread func(error)) error {
	if q.read == nil {
		tag, err := results.Exec()
		if err == nil && q.tag != nil {
			if err := q.tag(tag); err != nil {
				unread(err)
			}
		}
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	readErr := q.read(rows)
	rows.Close()
	if err := rows.Err(); err != nil {
		if isStatementError(err) {
			return err
		}
		readErr = err
	}
	if readErr != nil {
		unread(readErr)
	}
	return nil
}

// isStatementError tells the server's or the connection's errors from those of reading a value.
func isStatementError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) || isBroken(err)
}

// notSent tells that the batch failed while its statements were prepared or its arguments encoded. pgx has no type for
// it; TestBatchNotSent holds the text.
func notSent(err error) bool {
	return strings.Contains(err.Error(), "error preprocessing batch")
}
