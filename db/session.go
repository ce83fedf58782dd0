package db

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What must be true of a connection while a tenant's statement runs on it: whose rights it has, and, where a session
// remembers nothing, how long it may take. It is sent in front of the statement, in the same round trip and the same
// implicit transaction, and ends with that.
//
// A session that kept the last tenant's role would spare some of it, but pgx prepares what is new before it sends
// anything: with the rights of the last tenant, who may not look at another's tables.
const (
	settleRole    = "SELECT pg_catalog.set_config('role', $1, true)"
	settleTimeout = "SELECT pg_catalog.set_config('statement_timeout', $1, true)"
	settleBoth    = "SELECT pg_catalog.set_config('role', $1, true), pg_catalog.set_config('statement_timeout', $2, true)"
)

// settling is what has to be said to a connection; without a text nothing has.
type settling struct {
	sql  string
	args []any
}

// settling is for one statement, or a batch, that reads or writes.
func (l *lease) settling(k kind) settling {
	s := l.rights()
	if !l.clustered() {
		return s
	}
	// What is left of a schema that was moved away is not read, and nothing is written from elsewhere: Citus sends each
	// statement of an implicit transaction in a transaction of its own to where the rows are.
	at := fmt.Sprintf("locus_server.here($%d, %t)", len(s.args)+1, k == writes)
	args := append(s.args, l.pool.tenant)
	if s.sql == "" {
		return settling{"SELECT " + at, args}
	}
	return settling{s.sql + ", " + at, args}
}

// clustered tells whether the lease is for a tenant on a worker of a Citus cluster.
func (l *lease) clustered() bool { return l.pool.at.worker != "" && l.pool.tenant != "" }

func (l *lease) rights() settling {
	role := l.as()
	if l.pool.bouncer == nil || l.pool.bouncer.bounds(l.pool.timeout) {
		if role == "" {
			return settling{}
		}
		return settling{settleRole, []any{role}}
	}
	timeout := strconv.FormatInt(l.pool.timeout.Milliseconds(), 10)
	if role == "" {
		return settling{settleTimeout, []any{timeout}}
	}
	return settling{settleBoth, []any{role, timeout}}
}

// Exec is pgx's, in the tenant's name.
func (l *lease) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	s := l.settling(kindOf(sql))
	if s.sql == "" {
		return l.pooled.Exec(ctx, sql, args...)
	}
	results, err := l.send(ctx, s, sql, args)
	if err != nil {
		return tag, err
	}
	tag, err = results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, err
}

// Query is pgx's, in the tenant's name.
func (l *lease) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s := l.settling(kindOf(sql))
	if s.sql == "" {
		return l.pooled.Query(ctx, sql, args...)
	}
	results, err := l.send(ctx, s, sql, args)
	if err != nil {
		return nil, err
	}
	found, err := results.Query()
	if err != nil {
		_ = results.Close() // says the same, or less
		return nil, err
	}
	return &settledRows{Rows: found, results: results}, nil
}

func (l *lease) send(ctx context.Context, s settling, sql string, args []any) (pgx.BatchResults, error) {
	var b pgx.Batch
	b.Queue(s.sql, s.args...)
	b.Queue(sql, args...)
	results := l.Conn().SendBatch(ctx, &b)
	if _, err := results.Exec(); err != nil {
		_ = results.Close() // says the same, or less
		return nil, unsettled(err)
	}
	return results, nil
}

// settledRows are a statement's behind what was said in front of it.
type settledRows struct {
	pgx.Rows
	results pgx.BatchResults
	closed  bool
	failed  error
}

func (r *settledRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.failed = r.results.Close() // where a commit fails
}

func (r *settledRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *settledRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.failed
}

// QueryRow is pgx's, in the tenant's name.
func (l *lease) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if l.settling(kindOf(sql)).sql == "" {
		return l.pooled.QueryRow(ctx, sql, args...)
	}
	found, err := l.Query(ctx, sql, args...)
	return oneRow{found, err}
}

type oneRow struct {
	rows pgx.Rows
	err  error
}

func (r oneRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// beginning begins a transaction and says what must be true of it.
func (l *lease) beginning(opts pgx.TxOptions) pgx.TxOptions {
	p, role := l.pool, l.as()
	var more []string
	if role != "" {
		more = append(more, "SET LOCAL ROLE "+role)
	}
	if p.bouncer != nil {
		more = append(more, fmt.Sprintf("SET LOCAL statement_timeout = %d", p.timeout.Milliseconds()),
			fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", idleInTransaction.Milliseconds()))
	}
	if l.clustered() && kindOfTx(opts) == writes {
		more = append(more, "SELECT locus_server.here('"+p.tenant+"', true)")
	}
	if len(more) == 0 {
		return opts
	}
	begin := "begin"
	if opts.IsoLevel != "" {
		begin += " isolation level " + string(opts.IsoLevel)
	}
	if opts.AccessMode != "" {
		begin += " " + string(opts.AccessMode)
	}
	opts.BeginQuery = begin + "; " + strings.Join(more, "; ")
	return opts
}
