package db_test

import (
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/jackc/pgx/v5"
)

// A schema is dropped beside somebody who reads one of its tables after the other: Postgres ends the drop as a deadlock,
// and it is done again.
func TestDropBesideReader(t *testing.T) {
	url := dbtest.URL(t)
	d, ctx := dbtest.Open(t, url), t.Context()
	s := dbtest.Tenant(t, d)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT format('%I.%I', schemaname, tablename) FROM pg_catalog.pg_tables WHERE schemaname = $1", s.String())
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatal(tables, err)
	}
	// The one whose lock the drop comes to last is not known, but from the middle of them there are tables on both sides.
	// That it is the drop that is ended, the reader sees to: it looks for deadlocks later.
	deadlocks := func() (n int64) {
		t.Helper()
		err := conn.QueryRow(ctx, "SELECT deadlocks FROM pg_catalog.pg_stat_database WHERE datname = current_database()").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := deadlocks()
	for _, sql := range []string{"SET deadlock_timeout = '1min'", "BEGIN", "LOCK TABLE " + tables[len(tables)/2] + " IN ACCESS SHARE MODE"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	dropped := make(chan error, 1)
	go func() { dropped <- d.DropTenantSchema(ctx, s) }()
	for waits := false; !waits; time.Sleep(10 * time.Millisecond) {
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))").Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range tables {
		if _, err := conn.Exec(ctx, "LOCK TABLE "+table+" IN ACCESS SHARE MODE"); err != nil {
			t.Fatal(table, err)
		}
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-dropped; err != nil {
		t.Error(err)
	}
	for range 200 { // it is told a moment later
		if deadlocks() > before {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if deadlocks() == before {
		t.Error("there was no deadlock, so nothing was tried")
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", s.String()).Scan(&there); err != nil || there {
		t.Error(there, err)
	}
	if _, err := d.Tenant(s).Q().LockNextAID(ctx); err == nil {
		t.Error("the tenant is still served")
	}
}
