package db_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/jackc/pgx/v5"
)

// Text that names no schema, or a tenant that is none, reaches no table.
func TestUnscoped(t *testing.T) {
	d, tenant := newTenant(t)
	ctx := t.Context()
	none := d.Tenant(db.Schema{})
	if _, err := none.Q().GetLastSeq(ctx); !errors.Is(err, db.ErrNoSchema) {
		t.Errorf("single: %v", err)
	}
	if err := none.Tx(ctx, func(*tenantdb.Queries) error { return nil }); !errors.Is(err, db.ErrNoSchema) {
		t.Errorf("transaction: %v", err)
	}
	if err := none.ReadTx(ctx, func(*db.ReadTx) error { return nil }); !errors.Is(err, db.ErrNoSchema) {
		t.Errorf("read: %v", err)
	}
	b := none.Batch()
	b.Queue(tenantdb.GetLastSeq)
	if err := b.Send(ctx); !errors.Is(err, db.ErrNoSchema) {
		t.Errorf("batch: %v", err)
	}
	for _, create := range []error{d.CreateTenantSchema(ctx, db.Schema{}), d.MigrateTenant(ctx, db.Schema{}), d.DropTenantSchema(ctx, db.Schema{})} {
		if !errors.Is(create, db.ErrNoSchema) {
			t.Errorf("%v", create)
		}
	}

	stream := func(sql string) error {
		return tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
			return tx.Stream(ctx, sql, nil, func([][]byte) error { return nil })
		})
	}
	if err := stream("SELECT last_seq FROM stream_head"); !errors.Is(err, db.ErrUnscoped) {
		t.Errorf("no token: %v", err)
	}
	// A text that names the token once and slips elsewhere finds nothing: the search path is empty.
	if err := stream("SELECT 1 FROM pds_tenant.tenant_item, stream_head"); err == nil || !strings.Contains(err.Error(), `relation "stream_head" does not exist`) {
		t.Errorf("unqualified: %v", err)
	}
	// A text that escaped the rewrite.
	err := d.ControlTx(ctx, func(q *controldb.Queries) error {
		_, err := controlExec(ctx, q, tenantdb.GetLastSeq)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), `relation "pds_tenant.stream_head" does not exist`) {
		t.Errorf("token: %v", err)
	}
}

// controlExec runs a tenant's text on the control connection, as nobody can from outside: through a Queries' DBTX.
func controlExec(ctx context.Context, q *controldb.Queries, sql string) (int64, error) {
	var n int64
	err := db.RawControl(q).QueryRow(ctx, sql).Scan(&n)
	return n, err
}

// A deadlock is resolved by running one of the bodies again.
func TestTxRetries(t *testing.T) {
	_, tenant := newTenant(t)
	ctx := t.Context()
	for _, p := range []string{"a", "b"} {
		if err := tenant.Q().InsertSecret(ctx, secret(p)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	runs := 0
	var meet [2]sync.Once
	ready := make(chan struct{}, 2)
	for i := range 2 {
		wg.Go(func() {
			err := tenant.Tx(ctx, func(q *tenantdb.Queries) error {
				mu.Lock()
				runs++
				mu.Unlock()
				first, second := "a", "b"
				if i == 1 {
					first, second = second, first
				}
				if _, err := q.DeleteSecret(ctx, first); err != nil {
					return err
				}
				meet[i].Do(func() { // only the first time, both hold their first row
					ready <- struct{}{}
					for len(ready) < 2 {
						time.Sleep(time.Millisecond)
					}
				})
				_, err := q.DeleteSecret(ctx, second)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs < 3 { // or more, where both were given up
		t.Errorf("bodies ran %d times, want 3", runs)
	}
}

// The body's error, and its panic, take everything back.
func TestTxRollsBack(t *testing.T) {
	_, tenant := newTenant(t)
	ctx := t.Context()
	mine := errors.New("mine")
	err := tenant.Tx(ctx, func(q *tenantdb.Queries) error {
		if _, err := q.LockNextAID(ctx); err != nil {
			return err
		}
		return mine
	})
	if err != mine {
		t.Errorf("%v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = tenant.Tx(ctx, func(q *tenantdb.Queries) error {
			if _, err := q.LockNextAID(ctx); err != nil {
				return err
			}
			panic("mine")
		})
	}()
	canceled, cancel := context.WithCancel(ctx)
	err = tenant.Tx(canceled, func(q *tenantdb.Queries) error {
		_, err := q.LockNextAID(canceled)
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, db.ErrUnknownOutcome) {
		t.Errorf("canceled before the commit: %v", err)
	}
	if got := nextAID(t, tenant); got != 1 {
		t.Errorf("next_aid %d", got)
	}
}

// A read transaction sees one moment, changes nothing, and streams what it reads.
func TestReadTx(t *testing.T) {
	_, tenant := newTenant(t)
	ctx := t.Context()
	err := tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
		before, err := tx.Q().GetStreamHead(ctx)
		if err != nil {
			return err
		}
		if _, err := tenant.Q().LockNextAID(ctx); err != nil {
			return err
		}
		after, err := tx.Q().GetStreamHead(ctx)
		if before != after {
			t.Errorf("%v, then %v", before, after)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = tenant.ReadTx(ctx, func(tx *db.ReadTx) error { return tx.Q().InsertSecret(ctx, secret("no")) })
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("%v", err)
	}

	const n = 5000
	for i := range n {
		if i%1000 == 0 {
			b := tenant.Batch()
			for j := range 1000 {
				p := secret(fmt.Sprintf("%05d", i+j))
				b.Queue(tenantdb.InsertSecret, p.Purpose, bytes.Repeat([]byte{byte(j)}, 100), p.Public, p.CreatedAt)
			}
			if err := b.Send(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	const sql = "SELECT key, secret, length(secret)::bigint, NULL::text FROM pds_tenant.tenant_item WHERE kind = 1 AND key >= convert_to($1, 'UTF8') ORDER BY key"
	stop := errors.New("enough")
	for _, limit := range []int{n, 7} {
		seen := 0
		err := tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
			err := tx.Stream(ctx, sql, []any{"0"}, func(raw [][]byte) error {
				if string(raw[0]) != fmt.Sprintf("%05d", seen) || len(raw[1]) != 100 || raw[1][0] != byte(seen%1000) ||
					binary.BigEndian.Uint64(raw[2]) != 100 || raw[3] != nil {
					t.Fatalf("row %d: %q", seen, raw)
				}
				if seen++; seen == limit && limit < n {
					return stop
				}
				return nil
			})
			if limit < n && err != stop {
				t.Errorf("%v", err)
			}
			_, err = tx.Q().GetLastSeq(ctx) // the transaction goes on
			return err
		})
		if err != nil || seen != limit {
			t.Errorf("%d rows: %v", seen, err)
		}
	}
}

// A migration that changes a prepared statement's result is survived.
func TestStalePlan(t *testing.T) {
	d, tenant := newTenant(t)
	ctx := t.Context()
	purpose := "p"
	if err := tenant.Q().InsertSecret(ctx, secret(purpose)); err != nil {
		t.Fatal(err)
	}
	const sql = "SELECT * FROM pds_tenant.tenant_item WHERE kind = 1 AND key = convert_to($1, 'UTF8')"
	uses := map[string]func() error{
		"single": func() error {
			rows, err := db.RawTenant(tenant.Q()).Query(ctx, sql, purpose)
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowToMap)
			return err
		},
		"transaction": func() error {
			return tenant.Tx(ctx, func(q *tenantdb.Queries) error {
				rows, err := db.RawTenant(q).Query(ctx, sql, purpose)
				if err != nil {
					return err
				}
				_, err = pgx.CollectRows(rows, pgx.RowToMap)
				return err
			})
		},
		"batch": func() error {
			b := tenant.Batch()
			b.Queue(sql, purpose).Each(func(pgx.Row) error { return nil })
			return b.Send(ctx)
		},
	}
	i := 0
	for name, use := range uses {
		if err := use(); err != nil {
			t.Fatal(err)
		}
		i++
		if _, err := db.RawTenant(tenant.Q()).Exec(ctx, fmt.Sprintf("ALTER TABLE pds_tenant.tenant_item ADD COLUMN more%d int", i)); err != nil {
			t.Fatal(err)
		}
		err := use()
		if err != nil && name == "single" { // rows are read by the caller: seen too late to be tried again
			err = use()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = d
}

// The mode for PgBouncer prepares nothing and sets nothing, and everything still works.
func TestPgBouncerMode(t *testing.T) {
	dbtest.Plain(t, "the workers are not behind it; TestCitusThroughPgBouncer is about one that is")
	url := dbtest.URL(t) + "&pgbouncer=true"
	d := dbtest.Open(t, url)
	ctx := t.Context()
	if err := d.MigrateControl(ctx); err != nil {
		t.Fatal(err)
	}
	tenant := d.Tenant(dbtest.Tenant(t, d))
	if err := tenant.Q().InsertSecret(ctx, secret("one")); err != nil {
		t.Fatal(err)
	}
	b := tenant.Batch()
	queueSecret(b, "two")
	b.Queue("INSERT INTO pds_tenant.stream_head (id, last_seq, next_aid) VALUES ($1, 0, 0)", 1)
	if _, ok := db.IsUnique(b.Send(ctx)); !ok {
		t.Error("no unique violation")
	}
	if _, err := tenant.Q().GetSecret(ctx, "two"); !db.IsNoRows(err) {
		t.Errorf("the batch was not one transaction: %v", err)
	}
	var prepared int
	if err := db.RawTenant(tenant.Q()).QueryRow(ctx, "SELECT count(*) FROM pg_prepared_statements, pds_tenant.stream_head").Scan(&prepared); err != nil || prepared != 0 {
		t.Errorf("%d statements prepared: %v", prepared, err)
	}
	if _, err := db.Open(ctx, db.Config{URL: strings.Replace(url, "=true", "=maybe", 1)}); err == nil || !strings.Contains(err.Error(), "pgbouncer") {
		t.Errorf("%v", err)
	}
}

// A statement that takes too long is ended by the server; exports are not.
func TestStatementTimeout(t *testing.T) {
	url := dbtest.URL(t)
	made := dbtest.Tenant(t, dbtest.Open(t, url)) // which may take its time
	d, err := db.Open(t.Context(), db.Config{URL: url, StatementTimeout: 50 * time.Millisecond, Sizes: db.Sizes{SubPools: 3}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	tenant := d.Tenant(made)
	ctx := t.Context()
	const slow = "SELECT pg_sleep(0.2)::text FROM pds_tenant.stream_head"
	var s string
	if err := db.RawTenant(tenant.Q()).QueryRow(ctx, slow).Scan(&s); !db.IsTimeout(err) || !errors.Is(err, db.ErrSlow) || errors.Is(err, db.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	err = tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
		return tx.Stream(ctx, slow, nil, func([][]byte) error { return nil })
	})
	if err != nil {
		t.Error(err)
	}
}

// More tenants than sub-pools, at once, on few connections.
func TestSubPools(t *testing.T) {
	d, err := db.Open(t.Context(), db.Config{URL: dbtest.URL(t), Sizes: db.Sizes{SubPools: 3, PoolConns: 2}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	var wg sync.WaitGroup
	for i := range 12 {
		tenant := d.Tenant(dbtest.Tenant(t, d))
		wg.Go(func() {
			for j := range 20 {
				if err := tenant.Q().InsertSecret(t.Context(), secret(fmt.Sprint(i, "-", j))); err != nil {
					t.Error(err)
				}
			}
			got, err := tenant.Q().GetSecret(t.Context(), fmt.Sprint(i, "-", 19))
			if err != nil || string(got.Sealed) != "sealed" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// COPY goes to the tenant's table too.
func TestCopyFrom(t *testing.T) {
	_, tenant := newTenant(t)
	ctx := t.Context()
	type copier interface {
		CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error)
	}
	rows := [][]any{{int16(1), []byte("one"), []byte("x")}, {int16(1), []byte("two"), []byte("y")}}
	columns := []string{"kind", "key", "secret"}
	copyTo := func(q *tenantdb.Queries, table ...string) (int64, error) {
		return db.RawTenant(q).(copier).CopyFrom(ctx, table, columns, pgx.CopyFromRows(rows))
	}
	n, err := copyTo(tenant.Q(), "pds_tenant", "tenant_item")
	if errors.Is(err, db.ErrCopyAlone) { // on a Citus worker
		err = tenant.Tx(ctx, func(q *tenantdb.Queries) error { n, err = copyTo(q, "pds_tenant", "tenant_item"); return err })
	}
	if n != 2 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	err = tenant.Tx(ctx, func(q *tenantdb.Queries) error {
		_, err := copyTo(q, "pds_tenant", "tenant_item")
		return err
	})
	if _, ok := db.IsUnique(err); !ok {
		t.Errorf("%v", err)
	}
	for _, table := range [][]string{{"tenant_item"}, {"control", "tenant_item"}, {"public", "tenant_item"}} {
		if _, err := copyTo(tenant.Q(), table...); !errors.Is(err, db.ErrUnscoped) {
			t.Errorf("%q: %v", table, err)
		}
	}
	if got, err := tenant.Q().GetSecret(ctx, "two"); err != nil || string(got.Sealed) != "y" {
		t.Error(err)
	}
}
