package db

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What must be true of a connection while a tenant's statement runs on it: whose rights it has, and, where a session
// remembers nothing, how long it may take. It is sent in front of the statement, in the same round trip and the same
// implicit transaction.

const (
	// settleSession holds until another tenant's comes; a transaction that is taken back takes it back, too.
	settleSession = "SELECT pg_catalog.set_config('role', $1, false)"
	// settleTransaction holds until the transaction ends.
	settleTransaction = "SELECT pg_catalog.set_config('role', $1, true), pg_catalog.set_config('statement_timeout', $2, true)"
	// sessionRole is where a connection notes whose rights it has.
	sessionRole = "locus session role"
	noRole      = "none"
)

// settling is what has to be said to a connection; without a text nothing has.
type settling struct {
	sql  string
	args []any
	role string // that the session has then; "" as before
}

func (l *lease) settling() settling {
	p := l.pool
	switch {
	case p.bouncer != nil:
		if p.role == "" && p.bouncer.bounds(p.timeout) {
			return settling{}
		}
		role := p.role
		if role == "" {
			role = noRole
		}
		return settling{sql: settleTransaction, args: []any{role, fmt.Sprint(p.timeout.Milliseconds())}}
	case p.role == "" || l.Conn().PgConn().CustomData()[sessionRole] == p.role:
		return settling{}
	}
	return settling{sql: settleSession, args: []any{p.role}, role: p.role}
}

// settled notes that what was said is true from now on: its transaction is committed.
func (l *lease) settled(s settling) {
	if s.role != "" {
		l.Conn().PgConn().CustomData()[sessionRole] = s.role
	}
}

// Exec is pgx's, in the tenant's name.
func (l *lease) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	s := l.settling()
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
	if err == nil {
		l.settled(s)
	}
	return tag, err
}

// Query is pgx's, in the tenant's name.
func (l *lease) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s := l.settling()
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
	return &settledRows{Rows: found, lease: l, said: s, results: results}, nil
}

func (l *lease) send(ctx context.Context, s settling, sql string, args []any) (pgx.BatchResults, error) {
	var b pgx.Batch
	b.Queue(s.sql, s.args...)
	b.Queue(sql, args...)
	results := l.Conn().SendBatch(ctx, &b)
	if _, err := results.Exec(); err != nil {
		_ = results.Close() // says the same, or less
		return nil, err
	}
	return results, nil
}

// settledRows are a statement's behind what was said in front of it.
type settledRows struct {
	pgx.Rows
	lease   *lease
	said    settling
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
	err := r.Rows.Err()
	if closed := r.results.Close(); err == nil { // where a commit fails
		r.failed, err = closed, closed
	}
	if err == nil {
		r.lease.settled(r.said)
	}
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
	if l.settling().sql == "" {
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
	p := l.pool
	var more []string
	if p.role != "" && (p.bouncer != nil || l.Conn().PgConn().CustomData()[sessionRole] != p.role) {
		more = append(more, "SET LOCAL ROLE "+p.role)
	}
	if p.bouncer != nil {
		more = append(more, fmt.Sprintf("SET LOCAL statement_timeout = %d", p.timeout.Milliseconds()),
			fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", idleInTransaction.Milliseconds()))
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
