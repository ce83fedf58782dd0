package db

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Table is a table of a tenant's schema as the catalogue has it, so that who copies a whole schema knows no table.
type Table struct {
	Name    string
	Columns []Column // in the order in which they were made
	Key     []string // columns of the primary key, in its order
	// Unlogged tables are empty after a crash of the server: nobody misses what is in them.
	Unlogged bool
	// Bytes is what the table takes on disk, with what is stored beside it, and Rows about how many there are: for
	// showing progress.
	Bytes, Rows int64
}

// Column is a column of a table, with its type as SQL writes it.
type Column struct{ Name, Type string }

// Names are the names of the table's columns.
func (t Table) Names() []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name
	}
	return out
}

const listTables = `
SELECT c.relname, c.relpersistence = 'u', pg_catalog.pg_table_size(c.oid), greatest(c.reltuples, 0)::bigint,
  (SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
  (SELECT coalesce(array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum), '{}') FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
  (SELECT coalesce(array_agg(a.attname::text ORDER BY k.at), '{}') FROM pg_catalog.pg_constraint p
    CROSS JOIN unnest(p.conkey) WITH ORDINALITY k(attnum, at)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE p.conrelid = c.oid AND p.contype = 'p'),
  (SELECT coalesce(array_agg(DISTINCT f.relname::text), '{}') FROM pg_catalog.pg_constraint p
    JOIN pg_catalog.pg_class f ON f.oid = p.confrelid
    WHERE p.conrelid = c.oid AND p.contype = 'f' AND p.confrelid <> c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname <> $2
ORDER BY c.relname`

// tables lists the tables of a schema, those that others refer to before these. The list of migrations is not one.
func tables(ctx context.Context, tx pgx.Tx, s Schema) ([]Table, error) {
	rows, err := tx.Query(ctx, listTables, s.name, schema.VersionTable)
	if err != nil {
		return nil, classify(err)
	}
	refers := map[string][]string{}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Table, err error) {
		var names, types, to []string
		if err := row.Scan(&t.Name, &t.Unlogged, &t.Bytes, &t.Rows, &names, &types, &t.Key, &to); err != nil {
			return t, err
		}
		for i := range names {
			t.Columns = append(t.Columns, Column{names[i], types[i]})
		}
		refers[t.Name] = to
		return t, nil
	})
	if err != nil {
		return nil, classify(fmt.Errorf("tables of %s: %w", s, err))
	}
	return parentsFirst(found, refers)
}

// parentsFirst orders tables so that a row never comes before the row that it refers to.
func parentsFirst(all []Table, refers map[string][]string) ([]Table, error) {
	out := make([]Table, 0, len(all))
	done := map[string]bool{}
	for len(out) < len(all) {
		before := len(out)
		for _, t := range all {
			waits := slices.ContainsFunc(refers[t.Name], func(parent string) bool { return !done[parent] })
			if !done[t.Name] && !waits {
				out, done[t.Name] = append(out, t), true
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("tables refer to each other in a circle")
		}
	}
	return out, nil
}

// Tables lists the tables of the tenant's schema, parents before their children.
func (r *ReadTx) Tables(ctx context.Context) ([]Table, error) { return tables(ctx, r.tx, r.schema) }

// Version is the version of the tenant's schema: how many migrations it has had.
func (r *ReadTx) Version(ctx context.Context) (version int64, err error) {
	err = r.tx.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+r.schema.name+"."+schema.VersionTable).Scan(&version)
	return version, classify(err)
}

// Unhurried lets the transaction be idle for longer than others may, while its caller does something else. It keeps the
// server from forgetting rows that were deleted since it began.
func (r *ReadTx) Unhurried(ctx context.Context) error {
	_, err := r.tx.Exec(ctx, unhurried)
	return classify(err)
}

const unhurried = "SET LOCAL idle_in_transaction_session_timeout = 0"

// CopyOut writes a table's rows in the binary format of COPY, and tells how many. columns are all of the table's when none
// are named.
//
// The snapshot is the transaction's, so tables that are copied one after the other are of one moment.
func (r *ReadTx) CopyOut(ctx context.Context, w io.Writer, t Table, columns ...string) (int64, error) {
	if len(columns) == 0 {
		columns = t.Names()
	}
	return r.copyOut(ctx, w, pgx.Identifier{r.schema.name, t.Name}.Sanitize()+" "+list(columns))
}

// CopyQuery writes the rows of a SELECT, which names the schema as generated statements do and has no parameters.
func (r *ReadTx) CopyQuery(ctx context.Context, w io.Writer, sql string) (int64, error) {
	sql, err := r.runner.text(sql)
	if err != nil {
		return 0, err
	}
	return r.copyOut(ctx, w, "("+strings.TrimRight(sql, "; \n")+")")
}

func (r *ReadTx) copyOut(ctx context.Context, w io.Writer, what string) (int64, error) {
	to := rowsTo{w: w}
	tag, err := r.tx.Conn().PgConn().CopyTo(ctx, &to, "COPY "+what+" TO STDOUT (FORMAT binary)")
	if to.err != nil {
		return 0, to.err // a full disk says nothing about the database, whose connection ends with it
	}
	if err != nil {
		return 0, classify(fmt.Errorf("copy out: %w", err))
	}
	return tag.RowsAffected(), nil
}

// rowsTo keeps the error of the writer that rows go to.
type rowsTo struct {
	w   io.Writer
	err error
}

func (r *rowsTo) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

func list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// LoadTx is a transaction that fills a tenant's schema.
type LoadTx struct {
	runner runner
	tx     pgx.Tx
	schema Schema
}

// LoadTx runs body once in a transaction on a connection that has no time limits, as the migrations' have: what it loads
// may take hours. Nobody sees anything of it before it is committed.
func (t *Tenant) LoadTx(ctx context.Context, body func(tx *LoadTx) error) (err error) {
	if t.schema.IsZero() {
		return ErrNoSchema
	}
	at := t.here().server
	conn, tx, err := begin(ctx, at.admin, pgx.TxOptions{})
	if err != nil {
		return err
	}
	defer conn.Release()
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // if it fails the connection is closed, which rolls back as well
	}()
	// Whoever sends the rows may be slow.
	if _, err := tx.Exec(ctx, unhurried); err != nil {
		return classify(err)
	}
	if err := body(&LoadTx{runner{pool: at.admin, tx: tx, scope: t.through}, tx, t.schema}); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", outcome("COMMIT", err))
	}
	return confirmed(conn.Conn())
}

// Q gives the generated statements.
func (l *LoadTx) Q() *tenantdb.Queries { return tenantdb.New(l.runner) }

// Tables lists the tables of the tenant's schema, parents before their children.
func (l *LoadTx) Tables(ctx context.Context) ([]Table, error) { return tables(ctx, l.tx, l.schema) }

// Empty deletes what is in the tenant's tables, also what migrations put there. Who reads the schema meanwhile holds it up,
// and waits for its end: it is for schemas that nobody uses yet.
func (l *LoadTx) Empty(ctx context.Context) error {
	all, err := l.Tables(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = pgx.Identifier{l.schema.name, t.Name}.Sanitize()
	}
	if _, err := l.tx.Exec(ctx, "TRUNCATE "+strings.Join(names, ", ")); err != nil {
		return classify(fmt.Errorf("empty %s: %w", l.schema, err))
	}
	return nil
}

// CopyIn adds rows in the binary format of COPY, which have the named columns of the table, and tells how many they were.
// Columns that are not named get their defaults.
//
// What r gives is checked by Postgres: rows that do not fit the columns end the transaction. But it takes a copy that ends
// between two rows for a whole one: compare the number with [ReadTx.CopyOut]'s.
func (l *LoadTx) CopyIn(ctx context.Context, r io.Reader, table string, columns ...string) (int64, error) {
	if len(columns) == 0 {
		return 0, fmt.Errorf("copy into %s: no columns named", table)
	}
	return copyIn(ctx, l.tx.Conn().PgConn(), r, pgx.Identifier{l.schema.name, table}.Sanitize()+" "+list(columns))
}

func copyIn(ctx context.Context, c *pgconn.PgConn, r io.Reader, into string) (int64, error) {
	tag, err := c.CopyFrom(ctx, r, "COPY "+into+" FROM STDIN (FORMAT binary)")
	if err != nil {
		return 0, classify(fmt.Errorf("copy into %s: %w", into, err))
	}
	return tag.RowsAffected(), nil
}
