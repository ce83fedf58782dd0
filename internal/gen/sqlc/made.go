package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// madePath is where new tenants' schemas come from: the sum of all migrations, so that a new one makes no table that the
// next migration drops.
const madePath = "schema/made/tenant.sql"

// What of the catalogue becomes a statement, in the order in which they run. Each gives texts in an order that stays.
var described = []string{
	// Tables, with the constraints that need no other table. A column whose storage keeps its table from having a TOAST
	// table must have that storage in the statement that adds it, which CREATE TABLE says in Postgres 16 only.
	`WITH line AS (
	  SELECT a.attrelid AS oid, a.attnum::int AS at, 'ADD COLUMN ' AS verb, quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
	    || CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || quote_ident(l.collname) ELSE '' END
	    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS text
	  FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
	  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	  WHERE a.attnum > 0 AND NOT a.attisdropped
	  UNION ALL SELECT a.attrelid, a.attnum, 'ALTER COLUMN ', quote_ident(a.attname) || ' SET STORAGE '
	    || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
	  FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attstorage <> y.typstorage
	  UNION ALL SELECT k.conrelid, 10000 + row_number() OVER (ORDER BY k.contype DESC, k.conname), 'ADD ', 'CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid)
	  FROM pg_constraint k WHERE k.contype <> 'f'
	), tbl AS (
	  SELECT c.oid, c.relname, coalesce((SELECT min(s.at) FROM line s WHERE s.oid = c.oid AND s.verb = 'ALTER COLUMN '), 20000) AS cut, 'CREATE ' || CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END || 'TABLE ' || c.oid::regclass || ' (' AS head,
	    ')' || coalesce(' WITH (' || nullif(concat_ws(', ', array_to_string(c.reloptions, ', '),
	      (SELECT string_agg('toast.' || o, ', ') FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = c.reltoastrelid)), '') || ')', '') || ';' AS foot
	  FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND c.relname <> $2
	)
	SELECT t.head || E'\n' || coalesce(string_agg('  ' || l.text, E',\n' ORDER BY l.at) FILTER (WHERE l.at < t.cut), '') || E'\n' || t.foot
	  || coalesce(E'\nALTER TABLE ' || t.oid::regclass || E'\n' || string_agg('  ' || l.verb || l.text, E',\n' ORDER BY l.at, l.verb) FILTER (WHERE l.at >= t.cut) || ';', '')
	FROM tbl t JOIN line l ON l.oid = t.oid GROUP BY t.oid, t.relname, t.cut, t.head, t.foot ORDER BY t.relname`,
	`SELECT pg_get_indexdef(i.indexrelid) || ';' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relnamespace = $1::regnamespace AND i.indrelid <> ($1 || '.' || $2)::regclass
	  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) ORDER BY c.relname`,
	`SELECT 'ALTER TABLE ' || k.conrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid) || ';'
	FROM pg_constraint k WHERE k.connamespace = $1::regnamespace AND k.contype = 'f' AND $2 <> '' ORDER BY k.conrelid::regclass::text, k.conname`,
}

// timeline is the column of stream_head that says on which server's history the numbers are: that of the server on which
// a tenant is made.
const timeline = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"

// writeMade writes the statements that make a tenant's schema as it is with all migrations in it.
func writeMade(ctx context.Context, conn *pgx.Conn, migrations []schema.Migration) error {
	if _, err := conn.Exec(ctx, "SET timezone = 'UTC'"); err != nil { // defaults are written in it
		return err
	}
	var b strings.Builder
	b.WriteString(schema.MadeFrom(migrations) + "\n-- Made by internal/gen/sqlc.sh from schema/tenant. Do not edit.\n\n")
	for _, sql := range described {
		if err := writeRows(ctx, conn, &b, sql, schema.Token, schema.VersionTable); err != nil {
			return err
		}
	}
	if err := writeFirstRows(ctx, conn, &b); err != nil {
		return err
	}
	return os.WriteFile(madePath, []byte(b.String()), 0o644)
}

func writeRows(ctx context.Context, conn *pgx.Conn, b *strings.Builder, sql string, args ...any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the schema that the migrations make: %w", err)
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return nil
}

// writeFirstRows writes the rows that a new tenant begins with.
func writeFirstRows(ctx context.Context, conn *pgx.Conn, b *strings.Builder) error {
	rows, err := conn.Query(ctx, `SELECT c.oid::regclass::text, array_agg(quote_ident(a.attname) ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND c.relname <> $2 GROUP BY c.oid ORDER BY c.oid::regclass::text`,
		schema.Token, schema.VersionTable)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Name    string
		Columns []string
	}])
	if err != nil {
		return err
	}
	for _, t := range tables {
		values := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			values[i] = "quote_nullable(" + c + "::text)"
			if c == "timeline" {
				values[i] = "'" + timeline + "'"
			}
		}
		sql := fmt.Sprintf("SELECT 'INSERT INTO %s (%s) VALUES (' || concat_ws(', ', %s) || ');' FROM %[1]s ORDER BY 1",
			t.Name, strings.Join(t.Columns, ", "), strings.Join(values, ", "))
		if err := writeRows(ctx, conn, b, sql); err != nil {
			return err
		}
	}
	return nil
}
