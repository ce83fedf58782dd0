package db

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// Tenant is the only way to a tenant's tables.
type Tenant struct {
	db     *DB
	home   place // where it was when this was opened
	schema Schema
	texts  *sync.Map
}

// Schema is the tenant's.
func (t *Tenant) Schema() Schema { return t.schema }

// Changed is [DB.Changed].
func (t *Tenant) Changed(aid int64) { t.db.Changed(t.schema, aid) }

// Node is the database where the schema is now, as far as this process knows.
func (t *Tenant) Node() int32 {
	at := t.here()
	if at.server == t.home.server {
		return t.schema.Node()
	}
	return at.server.node
}

func (t *Tenant) scope(sql string) (string, error) {
	return t.db.rewriter.rewrite(t.schema, t.texts, sql)
}

// through scopes what goes through the coordinator of a cluster.
func (t *Tenant) through(sql string) (string, error) {
	if is, _ := t.db.onWorker(t.schema); !is {
		return t.scope(sql)
	}
	if !strings.Contains(sql, schema.Token+".") {
		return "", ErrUnscoped
	}
	return schema.StatementForCitus(schema.Rename(sql, t.schema.name)), nil
}

// Q gives single statements: each is a transaction of its own.
func (t *Tenant) Q() *tenantdb.Queries {
	return tenantdb.New(runner{pool: t.here().pool, scope: t.scope, tenant: t})
}

// Tx runs body in one transaction (read committed). It runs it again when Postgres reports a serialization failure or a
// deadlock, so body changes nothing but the database. ErrUnknownOutcome: the answer to COMMIT is missing.
func (t *Tenant) Tx(ctx context.Context, body func(q *tenantdb.Queries) error) error {
	if t.schema.IsZero() {
		return ErrNoSchema
	}
	for anew := false; ; {
		at := t.here()
		err := transact(ctx, at.pool, pgx.TxOptions{}, func(tx pgx.Tx) error {
			return body(tenantdb.New(runner{pool: at.pool, tx: tx, scope: t.scope}))
		})
		moved, why := t.followed(ctx, at.server, err)
		if !moved && !anew && resharded(at.server, err) {
			anew = true
			t.reshard("")
			continue
		}
		if !moved {
			return why
		}
	}
}

// ReadTx is a transaction that sees one moment of the tenant's schema and changes nothing.
type ReadTx struct {
	runner runner
	tx     pgx.Tx
	schema Schema
}

// ReadTx runs body in a repeatable-read, read-only transaction on a connection of the streams' pool, without a
// statement timeout. body runs once, or twice where a replica may answer ([DB.Lagging]); ErrMoved if the tenant was moved to
// another database at that moment.
func (t *Tenant) ReadTx(ctx context.Context, body func(tx *ReadTx) error) error {
	if t.schema.IsZero() {
		return ErrNoSchema
	}
	if l, _ := ctx.Value(lagKey{}).(*lag); l != nil && !l.over.Load() && l.schema.name == t.schema.name {
		if answered, err := l.readTx(ctx, t, body); answered {
			return err
		}
	}
	at := t.here().server
	conn, tx, err := begin(ctx, at.streams.of(t.schema), readOnly)
	at.health.saw(ctx, err, false)
	if err != nil {
		return err
	}
	err = t.inReadTx(ctx, at, conn, tx, body)
	if moved, why := t.followed(ctx, at, err); moved {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	} else if resharded(at, err) {
		t.reshard("")
		return fmt.Errorf("%w: %w", ErrMoved, err)
	} else if why != nil {
		return why
	}
	return err
}

var readOnly = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// inReadTx runs body in a transaction that has begun, and ends it.
func (t *Tenant) inReadTx(ctx context.Context, at *server, conn *lease, tx pgx.Tx, body func(tx *ReadTx) error) error {
	defer conn.Release()
	defer func() {
		// Nothing to commit. Also after a panic, or when ctx has ended, the connection must not keep its snapshot.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // if it fails the connection is closed
	}()
	read := func() error {
		return body(&ReadTx{runner: runner{pool: at.streams, tx: tx, scope: t.scope}, tx: tx, schema: t.schema})
	}
	if !conn.clustered() {
		return read()
	}
	return unmoved(ctx, conn, tx, read)
}

// Q gives the generated statements.
func (r *ReadTx) Q() *tenantdb.Queries { return tenantdb.New(r.runner) }

// Stream runs one statement and hands its rows to each as they arrive, undecoded: raw holds the columns in Postgres's
// binary format, which for bytea is the bytes themselves, for text the UTF-8, for bigint 8 bytes big-endian, and nil
// for null. raw and what it points to are valid only until each returns. An error of each ends the stream and is
// returned.
//
// sql is an exported constant of tenantdb.
func (r *ReadTx) Stream(ctx context.Context, sql string, args []any, each func(raw [][]byte) error) error {
	sql, err := r.runner.text(sql)
	if err != nil {
		return err
	}
	if r.runner.pool.bouncer != nil && r.tx.Conn().Config().DefaultQueryExecMode == pgx.QueryExecModeExec {
		args = append([]any{pgx.QueryExecModeDescribeExec}, args...) // exec knows no types, so it asks for text
	}
	found, err := r.tx.Query(ctx, sql, args...)
	if err != nil {
		return classify(err)
	}
	defer found.Close()
	for found.Next() {
		if err := each(found.RawValues()); err != nil {
			return err
		}
	}
	if err := found.Err(); err != nil {
		return classify(fmt.Errorf("stream: %w", err))
	}
	return nil
}
