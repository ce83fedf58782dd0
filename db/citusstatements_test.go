package db_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tenantStatements are all that sqlc has made of the queries on tenants' schemas, by name.
func tenantStatements(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("tenantdb/*.sql.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := map[string]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.BasicLit)
			if !ok || v.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(v.Value)
			if name, sql, ok := strings.Cut(text, "\n"); err == nil && ok && strings.HasPrefix(name, "-- name: ") {
				all[strings.Fields(name)[2]] = sql
			}
			return true
		})
	}
	return all
}

// Citus takes every statement on a tenant's tables, where the rows are, and asks no other server for it: a statement that it
// plans in parts is sent to all servers, and each commit then waits for all of them.
func TestCitusStatements(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s := dbtest.Tenant(t, d)
	cfg, err := pgx.ParseConfig(dbtest.Where(url, s))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if strings.HasPrefix(n.Message, "issuing ") {
			asked = append(asked, strings.SplitN(n.Message, "\n", 2)[0])
		}
	}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{"SET citus.log_remote_commands = on", "SET plan_cache_mode = force_generic_plan"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, sql := range tenantStatements(t) {
		asked = nil
		text, err := db.Scoped(d, s, sql)
		if err != nil {
			t.Fatal(err)
		}
		if err := tryNull(t.Context(), conn, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(asked) > 0 {
			t.Errorf("%s: it asks other servers: %.200s", name, strings.Join(asked, "; "))
		}
	}
}

// tryNull runs a statement with no values, in a transaction that it takes back. Rows that are refused for that are no error.
func tryNull(ctx context.Context, conn *pgx.Conn, s db.Schema, sql string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing is kept
	if _, err := tx.Exec(ctx, "SELECT locus_server.here($1, true)", s.String()); err != nil {
		return err
	}
	d, err := conn.Prepare(ctx, "", sql)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	result := conn.PgConn().ExecPrepared(ctx, "", make([][]byte, len(d.ParamOIDs)), nil, nil).Read()
	var pg *pgconn.PgError
	if errors.As(result.Err, &pg) && (strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "22")) {
		return nil
	}
	return result.Err
}
