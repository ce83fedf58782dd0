package db_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// bounced runs a test through PgBouncer in each way in which it can be set up.
func bounced(t *testing.T, test func(t *testing.T, databaseURL string, b *dbtest.Bouncer, keeps bool)) {
	dbtest.Plain(t, "PgBouncer stands before one server; before a worker it is TestCitusThroughPgBouncer")
	settings := map[string]int{"statements not kept": 0}
	if keeps, version := dbtest.BouncerKeeps(t); keeps {
		settings["statements kept"] = 200
	} else {
		t.Logf("%s cannot keep prepared statements (1.21 and newer can): that way is not tested with it", version)
	}
	for name, prepared := range settings {
		t.Run(name, func(t *testing.T) {
			url := dbtest.URL(t)
			// A server's connection that is idle for a moment is closed, as after a quiet night.
			test(t, url, dbtest.NewBouncer(t, url, prepared, "server_idle_timeout = 1", "server_check_delay = 0"), prepared > 0)
		})
	}
}

// Everything that this room does goes through PgBouncer in transaction mode, by one word in the URL.
func TestThroughPgBouncer(t *testing.T) {
	bounced(t, func(t *testing.T, databaseURL string, b *dbtest.Bouncer, keeps bool) {
		d := dbtest.Open(t, b.URL)
		ctx := t.Context()
		if err := d.MigrateControl(ctx); err != nil {
			t.Fatal(err)
		}
		schema := dbtest.Tenant(t, d)
		tenant := d.Tenant(schema)
		if err := tenant.Q().InsertSecret(ctx, secret("one")); err != nil {
			t.Fatal(err)
		}
		batch := tenant.Batch()
		queueSecret(batch, "two")
		batch.Queue("INSERT INTO pds_tenant.stream_head (id, last_seq, next_aid) VALUES ($1, 0, 0)", 1)
		if _, ok := db.IsUnique(batch.Send(ctx)); !ok {
			t.Error("no unique violation")
		}
		if _, err := tenant.Q().GetSecret(ctx, "two"); !db.IsNoRows(err) {
			t.Errorf("the batch was not one transaction: %v", err)
		}
		undo := errors.New("undo")
		err := tenant.Tx(ctx, func(q *tenantdb.Queries) error {
			return errors.Join(q.InsertSecret(ctx, secret("three")), undo)
		})
		if _, missing := tenant.Q().GetSecret(ctx, "three"); !errors.Is(err, undo) || !db.IsNoRows(missing) {
			t.Errorf("not taken back: %v %v", err, missing)
		}
		var prepared int
		if err := db.RawTenant(tenant.Q()).QueryRow(ctx, "SELECT count(*) FROM pg_prepared_statements, pds_tenant.stream_head").Scan(&prepared); err != nil || (prepared > 0) != keeps {
			t.Errorf("%d statements prepared: %v", prepared, err)
		}
		// JSON is a type of its own, which bytes are not taken for.
		job, err := d.Control().InsertJob(ctx, controldb.InsertJobParams{JobID: "one", Kind: "work", Args: []byte(`{"a": "\u00e4"}`), CreatedAt: time.Now(), DueAt: time.Now()})
		if err != nil || string(job.Args) != `{"a": "ä"}` || job.Result != nil {
			t.Errorf("%s, %s: %v", job.Args, job.Result, err)
		}
		migrateThrough(t, d)
		exportThrough(t, d, tenant)
	})
}

// migrateThrough takes a schema down and up again.
func migrateThrough(t *testing.T, d *db.DB) {
	t.Helper()
	s, err := db.ParseSchema("t_empty")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.EmptySchema(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := d.MigrateTenant(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := d.DropTenantSchema(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// exportThrough reads one moment while others write.
func exportThrough(t *testing.T, d *db.DB, tenant *db.Tenant) {
	t.Helper()
	ctx := t.Context()
	err := tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
		before, err := tx.Q().GetLastSeq(ctx)
		if err != nil {
			return err
		}
		if _, err := db.RawTenant(tenant.Q()).Exec(ctx, "UPDATE pds_tenant.stream_head SET last_seq = last_seq + 1"); err != nil {
			return err
		}
		n := 0
		err = tx.Stream(ctx, "SELECT g::bigint FROM pds_tenant.stream_head, generate_series(1, 5000) g", nil, func(raw [][]byte) error {
			if n++; len(raw[0]) != 8 || binary.BigEndian.Uint64(raw[0]) != uint64(n) {
				return fmt.Errorf("row %d is %q", n, raw[0])
			}
			return nil
		})
		if after, getErr := tx.Q().GetLastSeq(ctx); n != 5000 || getErr != nil || after != before {
			return fmt.Errorf("%d rows, %d and then %d: %v", n, before, after, getErr)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Statements that take too long are ended by the server, in each way in which one runs; long reads are not.
func TestTimeoutsThroughPgBouncer(t *testing.T) {
	bounced(t, func(t *testing.T, _ string, b *dbtest.Bouncer, _ bool) {
		d, err := db.Open(t.Context(), db.Config{URL: b.URL, StatementTimeout: 50 * time.Millisecond, AnswerTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		tenant := d.Tenant(dbtest.Tenant(t, d))
		ctx := t.Context()
		const slow = "SELECT pg_sleep(0.3)::text FROM pds_tenant.stream_head"
		query := func(q *tenantdb.Queries) error {
			var s string
			return db.RawTenant(q).QueryRow(ctx, slow).Scan(&s)
		}
		batch := tenant.Batch()
		batch.Queue(slow)
		for name, err := range map[string]error{
			"single":      query(tenant.Q()),
			"transaction": tenant.Tx(ctx, query),
			"batch":       batch.Send(ctx),
		} {
			if !db.IsTimeout(err) || !errors.Is(err, db.ErrSlow) {
				t.Errorf("%s: %v", name, err)
			}
		}
		err = tenant.ReadTx(ctx, func(tx *db.ReadTx) error {
			return tx.Stream(ctx, slow, nil, func([][]byte) error { return nil })
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Many at once on the few connections that PgBouncer has to the server, also after it has closed those that were idle.
func TestManyThroughPgBouncer(t *testing.T) {
	bounced(t, func(t *testing.T, databaseURL string, b *dbtest.Bouncer, _ bool) {
		d := dbtest.Open(t, b.URL)
		var tenants []*db.Tenant
		for range 6 {
			tenants = append(tenants, d.Tenant(dbtest.Tenant(t, d)))
		}
		round := func(n int) {
			var wg sync.WaitGroup
			for i := range 24 {
				wg.Go(func() {
					tenant, name := tenants[i%len(tenants)], fmt.Sprint(n, "-", i)
					err := errors.Join(tenant.Q().InsertSecret(t.Context(), secret(name)), read(t.Context(), tenant))
					got, getErr := tenant.Q().GetSecret(t.Context(), name)
					if err != nil || getErr != nil || string(got.Sealed) != "sealed" {
						t.Error(err, getErr)
					}
				})
			}
			wg.Wait()
		}
		round(1)
		awaitNoServer(t, databaseURL)
		round(2)
	})
}

// awaitNoServer waits until PgBouncer has closed all its connections to the database.
func awaitNoServer(t *testing.T, databaseURL string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var n int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", n)
		}
	}
}

// The word in the URL is checked.
func TestPgBouncerWord(t *testing.T) {
	url := dbtest.URL(t) + "&pgbouncer=maybe"
	if _, err := db.Open(t.Context(), db.Config{URL: url}); err == nil || !strings.Contains(err.Error(), "pgbouncer") {
		t.Errorf("%v", err)
	}
}
