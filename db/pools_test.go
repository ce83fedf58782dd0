package db_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// smallest is a database with one pool of one size for its tenants.
func smallest(t testing.TB, conns int) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{URL: dbtest.URL(t), Sizes: db.Sizes{SubPools: 1, PoolConns: conns, BackgroundConns: 2}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// holding begins a transaction that keeps its connection until the test, or end, ends it.
func holding(t *testing.T, ctx context.Context, tenant *db.Tenant) (end func()) {
	t.Helper()
	over, began := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := tenant.Tx(ctx, func(*tenantdb.Queries) error {
			close(began)
			<-over
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	end = sync.OnceFunc(func() { close(over); wg.Wait() })
	t.Cleanup(end)
	<-began
	return end
}

// read is a read in each way in which one is made.
func read(ctx context.Context, tenant *db.Tenant) error {
	_, err := tenant.Q().GetLastSeq(ctx)
	b := tenant.Batch()
	b.Queue(tenantdb.GetLastSeq).Row(func(row pgx.Row) error { var n int64; return row.Scan(&n) })
	return errors.Join(err, b.Send(ctx))
}

// A tenant's statement is planned once on a connection, not for the parameters of each of its first executions.
func TestPlannedOnce(t *testing.T) {
	d := smallest(t, 1)
	tenant := d.Tenant(dbtest.Tenant(t, d))
	for range 3 {
		if _, err := tenant.Q().GetLastSeq(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var generic, custom int64
	err := db.RawTenant(tenant.Q()).QueryRow(t.Context(), "SELECT generic_plans, custom_plans FROM pg_catalog.pg_prepared_statements, pds_tenant.stream_head WHERE statement LIKE '%name: GetLastSeq %'").Scan(&generic, &custom)
	if err != nil || generic == 0 || custom != 0 {
		t.Errorf("%d executions by one plan, %d by their own, %v", generic, custom, err)
	}
}

// A tenant's transactions have all connections of its pool, and more of them wait. Its reads go on, and another tenant
// both reads and writes.
func TestNoTenantHoldsTheLastConnection(t *testing.T) {
	d := smallest(t, 2)
	busy, other := d.Tenant(dbtest.Tenant(t, d)), d.Tenant(dbtest.Tenant(t, d))
	ends := []func(){holding(t, t.Context(), busy), holding(t, t.Context(), busy)}
	waiting, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := busy.Tx(waiting, func(*tenantdb.Queries) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("got a connection while there is none: %v", err)
			}
		})
	}
	if err := read(t.Context(), busy); err != nil {
		t.Errorf("its own reads: %v", err)
	}
	if err := read(t.Context(), other); err != nil {
		t.Errorf("another tenant's reads: %v", err)
	}
	if err := other.Q().InsertSecret(t.Context(), secret("x")); err != nil {
		t.Errorf("another tenant's writes: %v", err)
	}
	stop()
	wg.Wait()
	for _, end := range ends {
		end()
	}
	if err := busy.Q().InsertSecret(t.Context(), secret("x")); err != nil {
		t.Error(err)
	}
}

// Connections that are kept for those whom one tenant leaves none stand back when it is done: each connection that a
// tenant meets has to plan its statements.
func TestKeptConnectionsStandBack(t *testing.T) {
	d := smallest(t, 2)
	busy, other := d.Tenant(dbtest.Tenant(t, d)), d.Tenant(dbtest.Tenant(t, d))
	backend := func() (pid int) {
		t.Helper()
		if err := db.RawTenant(other.Q()).QueryRow(t.Context(), "SELECT pg_backend_pid() FROM pds_tenant.stream_head").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	ends := []func(){holding(t, t.Context(), busy), holding(t, t.Context(), busy)}
	kept := backend()
	for _, end := range ends {
		end()
	}
	for range 20 {
		end := holding(t, t.Context(), busy)
		if pid := backend(); pid == kept {
			t.Fatal("a kept connection is used while another is idle")
		}
		end()
		if pid := backend(); pid == kept {
			t.Fatal("a kept connection is used while all others are idle")
		}
	}
}

// Work in the background finds its own connections, and keeps nobody from theirs.
func TestBackground(t *testing.T) {
	d := smallest(t, 1)
	one, other := d.Tenant(dbtest.Tenant(t, d)), d.Tenant(dbtest.Tenant(t, d))
	quiet := db.InBackground(t.Context())
	end := holding(t, quiet, one)
	foreground := holding(t, t.Context(), one) // the pool's only one
	if err := read(db.InBackground(t.Context()), other); err != nil {
		t.Errorf("another tenant's work in the background: %v", err)
	}
	ctx, cancel := context.WithTimeout(quiet, 50*time.Millisecond)
	defer cancel()
	if err := read(ctx, one); !errors.Is(err, db.ErrBusy) {
		t.Errorf("a tenant has all connections of the background: %v", err)
	}
	end()
	foreground()
	if in := d.Stats(db.PoolBackground).Open; in < 1 {
		t.Errorf("%d connections in the background", in)
	}
}

// What is for a small machine and for a large one.
func TestSizes(t *testing.T) {
	for cores, want := range map[int]db.Sizes{
		1:  {SubPools: 4, PoolConns: 2, ControlConns: 4, StreamConns: 5, BackgroundConns: 2, Statements: 16384},
		2:  {SubPools: 4, PoolConns: 2, ControlConns: 4, StreamConns: 5, BackgroundConns: 2, Statements: 16384},
		8:  {SubPools: 4, PoolConns: 4, ControlConns: 16, StreamConns: 17, BackgroundConns: 2, Statements: 16384},
		16: {SubPools: 8, PoolConns: 4, ControlConns: 32, StreamConns: 33, BackgroundConns: 4, Statements: 16384},
		64: {SubPools: 16, PoolConns: 8, ControlConns: 128, StreamConns: 129, BackgroundConns: 16, Statements: 16384},
	} {
		if got := (db.Sizes{}).On(cores); got != want {
			t.Errorf("%d cores: %+v, want %+v", cores, got, want)
		}
	}
}
