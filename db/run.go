package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// runner is what generated code runs its statements on: a pool, where each statement is a transaction of its own, or
// a transaction. It puts the tenant's schema into the text and says what an error means.
type runner struct {
	pool  *pool
	tx    pgx.Tx                       // nil: single statements
	scope func(string) (string, error) // nil: control's texts stay as they are
	// tenant is whose single statements these are: they follow it when it is moved; nil: nobody's.
	tenant *Tenant
}

// again tells whether a statement is to be sent once more, to the server that its tenant was moved to, or with the tables
// that it has now. why stands for err.
func (r *runner) again(ctx context.Context, sql *string, err error) (again bool, why error) {
	if r.tenant == nil {
		return false, err
	}
	again, why = r.tenant.followed(ctx, r.pool.at, err)
	switch {
	case again:
		r.pool = r.tenant.here().pool
	case resharded(r.pool.at, err):
		was := *sql
		*sql = r.tenant.reshard(was)
		again = *sql != was
	}
	return again, why
}

func (r runner) text(sql string) (string, error) {
	if r.scope == nil {
		return sql, nil
	}
	return r.scope(sql)
}

// Exec implements DBTX.
func (r runner) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if sql, err = r.text(sql); err != nil {
		return tag, err
	}
	if r.tx != nil {
		ctx, cancel := r.pool.patience(ctx)
		defer cancel()
		tag, err = r.tx.Exec(ctx, sql, args...)
		return tag, classify(err)
	}
	err = r.single(ctx, sql, func(ctx context.Context, c *lease, sql string) (err error) {
		tag, err = c.Exec(ctx, sql, args...)
		return err
	})
	return tag, err
}

// QueryRow implements DBTX. The statement runs when the row is scanned.
func (r runner) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return &row{r: r, ctx: ctx, sql: sql, args: args}
}

type row struct {
	r    runner
	ctx  context.Context
	sql  string
	args []any
}

func (w *row) Scan(dest ...any) error {
	sql, err := w.r.text(w.sql)
	if err != nil {
		return err
	}
	if w.r.tx != nil {
		ctx, cancel := w.r.pool.patience(w.ctx)
		defer cancel()
		return classify(w.r.tx.QueryRow(ctx, sql, w.args...).Scan(dest...))
	}
	if lent, l := w.r.lent(w.ctx, sql); l != nil {
		if answered, err := l.row(w.ctx, lent, sql, w.args, dest); answered {
			return err
		}
	}
	return w.r.single(w.ctx, sql, func(ctx context.Context, c *lease, sql string) error {
		return c.QueryRow(ctx, sql, w.args...).Scan(dest...)
	})
}

// Query implements DBTX.
func (r runner) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	sql, err := r.text(sql)
	if err != nil {
		return nil, err
	}
	if r.tx != nil {
		ctx, cancel := r.pool.patience(ctx)
		found, err := r.tx.Query(ctx, sql, args...)
		if err != nil {
			cancel()
			return nil, classify(err)
		}
		return &rows{Rows: found, cancel: cancel, explain: classify}, nil
	}
	if lent, l := r.lent(ctx, sql); l != nil {
		if kept, answered, err := l.rows(ctx, lent, sql, args); answered {
			return kept, err
		}
	}
	out, err := r.query(ctx, sql, args)
	if err != nil {
		moved, why := r.again(ctx, &sql, err)
		if !moved {
			return nil, why
		}
		return r.query(ctx, sql, args)
	}
	if r.tenant != nil {
		out.again = func(err error) (*rows, error) {
			moved, why := r.again(ctx, &sql, err)
			if !moved {
				return nil, why
			}
			return r.query(ctx, sql, args)
		}
	}
	return out, nil
}

func (r runner) query(ctx context.Context, sql string, args []any) (*rows, error) {
	out := &rows{explain: func(err error) error {
		err = outcome(sql, err)
		r.pool.saw(ctx, err, !isRead(sql))
		return err
	}}
	err := r.attempt(ctx, sql, func(answer context.Context, cancel context.CancelFunc, c *lease) (keep bool, err error) {
		if out.Rows, err = c.Query(answer, sql, args...); err != nil {
			return false, err
		}
		out.conn, out.cancel = c, cancel // when they are read
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// CopyFrom implements the DBTX of :copyfrom queries.
func (r runner) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (n int64, err error) {
	if r.scope != nil {
		if len(table) != 2 {
			return 0, ErrUnscoped
		}
		name, err := r.scope(table[0] + "." + table[1])
		if err != nil {
			return 0, err
		}
		table = strings.Split(name, ".")
	}
	if r.tx != nil {
		n, err = r.tx.CopyFrom(ctx, table, columns, src)
		return n, classify(err)
	}
	c, err := acquire(ctx, r.pool, writes)
	if err != nil {
		return 0, err
	}
	defer c.Release()
	if c.as() != "" || c.pool.bouncer != nil || c.clustered() { // COPY cannot be sent behind something else
		return 0, ErrCopyAlone
	}
	n, err = c.Conn().CopyFrom(ctx, table, columns, src) // src is read once: no second try
	if err == nil {
		return n, confirmed(c.Conn())
	}
	return n, outcome("COPY", err)
}

// rows hands its connection back when it is read to the end or closed, and explains its error.
type rows struct {
	pgx.Rows
	conn    *lease // nil inside a transaction
	cancel  context.CancelFunc
	doubt   error // that its commit is not as durable as it should be
	explain func(error) error
	again   func(error) (*rows, error) // asks another server, if the tenant was moved there
	failed  error                      // that it could not
}

func (r *rows) Close() {
	r.Rows.Close()
	r.cancel()
	if r.conn != nil {
		r.doubt = confirmed(r.conn.Conn())
		r.conn.Release()
		r.conn = nil
	}
}

func (r *rows) Next() bool {
	again := r.again
	r.again = nil // only before the first row
	if r.Rows.Next() {
		return true
	}
	r.Close()
	if again == nil || !isGone(r.Rows.Err()) {
		return false
	}
	next, err := again(r.Rows.Err())
	if err != nil {
		r.failed = err
		return false
	}
	*r = *next
	return r.Next()
}

func (r *rows) Scan(dest ...any) error {
	err := r.Rows.Scan(dest...)
	if err != nil {
		r.Close()
	}
	return err
}

func (r *rows) Err() error {
	if r.failed != nil {
		return r.failed
	}
	if err := r.explain(r.Rows.Err()); err != nil {
		return err
	}
	return r.doubt
}

// single runs one statement on a connection of its own.
func (r runner) single(ctx context.Context, sql string, run func(context.Context, *lease, string) error) error {
	for {
		err := r.attempt(ctx, sql, func(ctx context.Context, _ context.CancelFunc, c *lease) (bool, error) {
			return false, run(ctx, c, sql)
		})
		r.pool.saw(ctx, err, !isRead(sql))
		moved, why := r.again(ctx, &sql, err)
		if !moved {
			return why
		}
	}
}

// attempt runs one statement, a second time when the first cannot have changed anything. With keep the connection stays
// with the caller.
//
// pgconn.SafeToRetry is no help: it says yes to "conn closed", which is also what a lost answer to a statement without
// parameters looks like (TestUnknownOutcome).
func (r runner) attempt(ctx context.Context, sql string, run func(context.Context, context.CancelFunc, *lease) (keep bool, err error)) error {
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return err // nothing is sent, so nobody needs to wonder what happened
		}
		answer, cancel := r.pool.patience(ctx)
		c, err := acquire(answer, r.pool, kindOf(sql))
		if err != nil {
			cancel()
			return err
		}
		keep, err := run(answer, cancel, c)
		if keep {
			return nil
		}
		cancel()
		leaveStandby(c.Conn(), err)
		if err == nil {
			err = confirmed(c.Conn())
			c.Release()
			return err
		}
		c.Release()
		harmless := isStalePlan(err) || (isBroken(err) && isRead(sql))
		if try > 1 || !harmless || ctx.Err() != nil {
			return outcome(sql, err)
		}
	}
}

// outcome explains the error of a statement that is a transaction of its own: if the answer is missing, a write may
// have happened.
func outcome(sql string, err error) error {
	if err == nil || answered(err) || isRead(sql) {
		return classify(err)
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// answered tells that the server has refused the statement, or that the trouble is in reading its answer. After
// FATAL the transaction may have been committed already: only the confirmation is missing.
func answered(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Severity == "ERROR" || pg.SeverityUnlocalized == "ERROR"
	}
	return !isBroken(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

var changes = regexp.MustCompile(`(?i)\b(INSERT|UPDATE|DELETE|MERGE)\b`)

// isRead tells whether a statement changes nothing: a SELECT behind generated comments, also one that begins WITH
// others.
func isRead(sql string) bool {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n")
		if !strings.HasPrefix(sql, "--") {
			verb := sql[:min(len(sql), strings.IndexAny(sql+" ", " \t\n"))]
			return strings.EqualFold(verb, "SELECT") || strings.EqualFold(verb, "WITH") && !changes.MatchString(sql)
		}
		_, rest, ok := strings.Cut(sql, "\n")
		if !ok {
			return false
		}
		sql = rest
	}
}
