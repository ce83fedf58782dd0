package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/schema"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// catalog describes everything in a schema by pg_catalog: tables, columns, defaults, constraints, indexes, options,
// sequences, triggers, types, functions. The schema's own name is replaced.
const catalog = `
WITH n AS (SELECT oid FROM pg_namespace WHERE nspname = $1)
SELECT 'relation ' || c.relname || ' ' || c.relkind::text || ' ' || c.relpersistence::text || ' ' || coalesce(array_to_string(c.reloptions, ','), '')
  || ' toast:' || (c.reltoastrelid <> 0)::text || coalesce((SELECT array_to_string(t.reloptions, ',') FROM pg_class t WHERE t.oid = c.reltoastrelid), '')
  FROM pg_class c WHERE relnamespace IN (SELECT * FROM n)
UNION ALL SELECT 'column ' || c.relname || '.' || a.attname || ' ' || (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped) || ' ' || format_type(a.atttypid, a.atttypmod) || ' null:' || (NOT a.attnotnull)::text
  || ' ' || a.attstorage::text || ' ' || a.attcompression::text || ' ' || a.attidentity::text || a.attgenerated::text || ' ' || coalesce(l.collname, '')
  || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
  WHERE c.relnamespace IN (SELECT * FROM n) AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN (SELECT * FROM n)
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = $1
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace IN (SELECT * FROM n) AND NOT tgisinternal
UNION ALL SELECT 'type ' || typname || ' ' || typtype::text FROM pg_type WHERE typnamespace IN (SELECT * FROM n)
UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace IN (SELECT * FROM n)
ORDER BY 1`

func dump(t *testing.T, url, name string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), catalog, name)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], name+".", "SCHEMA.")
	}
	return lines
}

func mustParse(t *testing.T, name string) db.Schema {
	t.Helper()
	s, err := db.ParseSchema(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Made by one script, migrated step by step, taken down and up again: the same schema, with the same first rows. The script
// is what was read off such a schema (schema.Made): `make generate` brings it up to the migrations.
func TestTenantSchemaIsTheSame(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	ctx := t.Context()
	script, steps := mustParse(t, "t_script"), mustParse(t, "t_steps")
	if err := d.CreateTenantSchema(ctx, script); err != nil {
		t.Fatal(err)
	}
	if err := d.EmptySchema(ctx, steps); err != nil {
		t.Fatal(err)
	}
	empty := dump(t, url, "t_steps")
	if err := d.MigrateTenant(ctx, steps); err != nil {
		t.Fatal(err)
	}
	want := dump(t, url, "t_script")
	if len(want) < 50 {
		t.Fatalf("the dump has only %d lines", len(want))
	}
	if diff := cmp.Diff(want, dump(t, url, "t_steps")); diff != "" {
		t.Errorf("step by step (-script +steps):\n%s", diff)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if diff := cmp.Diff(dumpRows(t, conn, "t_script"), dumpRows(t, conn, "t_steps")); diff != "" {
		t.Errorf("first rows (-script +steps):\n%s", diff)
	}
	if migrations, err := schema.TenantMigrations(); err != nil {
		t.Error(err)
	} else if _, ok := schema.Made(migrations); !ok {
		t.Error("schema/made/tenant.sql was made from other migrations: run `make generate`")
	}
	for _, s := range []db.Schema{script, steps} {
		if err := d.Down(ctx, s.String(), schema.Tenant(s.String())); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(empty, dump(t, url, s.String())); diff != "" {
			t.Errorf("down leaves:\n%s", diff)
		}
		if err := d.MigrateTenant(ctx, s); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, dump(t, url, s.String())); diff != "" {
			t.Errorf("up again:\n%s", diff)
		}
		if _, err := d.Tenant(s).Q().LockNextAID(ctx); err != nil {
			t.Error(err)
		}
	}
	latest, err := db.LatestTenantVersion()
	if v, err2 := d.Version(ctx, "t_script"); v != latest || err != nil || err2 != nil {
		t.Errorf("version %d, want %d: %v %v", v, latest, err, err2)
	}
}

func TestControlSchemaIsTheSame(t *testing.T) {
	url, scripted := dbtest.EmptyURL(t), dbtest.URL(t) // dbtest makes it by script
	d := dbtest.Open(t, url)
	ctx := t.Context()
	if err := d.MigrateControl(ctx); err != nil {
		t.Fatal(err)
	}
	want := dump(t, url, schema.ControlName)
	if diff := cmp.Diff(want, dump(t, scripted, schema.ControlName)); diff != "" {
		t.Errorf("by script:\n%s", diff)
	}
	if err := d.Down(ctx, schema.ControlName, schema.Control()); err != nil {
		t.Fatal(err)
	}
	for _, line := range dump(t, url, schema.ControlName) {
		if !strings.Contains(line, schema.VersionTable) {
			t.Errorf("down leaves %s", line)
		}
	}
	if err := d.MigrateControl(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, dump(t, url, schema.ControlName)); diff != "" {
		t.Errorf("up again:\n%s", diff)
	}
}

// Many nodes start at once on a new database.
func TestManyNodesMigrateControl(t *testing.T) {
	url := dbtest.EmptyURL(t)
	nodes := make([]*db.DB, 4)
	for i := range nodes {
		nodes[i] = dbtest.Open(t, url)
	}
	var wg sync.WaitGroup
	for _, d := range append(nodes, nodes...) {
		wg.Go(func() {
			if err := d.MigrateControl(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, err := nodes[0].Control().CountTenants(t.Context()); n != 0 || err != nil {
		t.Errorf("%d: %v", n, err)
	}
}

// insertTenants makes rows in control; their schemas are the caller's business.
func insertTenants(t *testing.T, d *db.DB, n int, version int64) {
	t.Helper()
	err := d.ControlTx(t.Context(), func(q *controldb.Queries) error {
		_, err := db.RawControl(q).Exec(t.Context(), `INSERT INTO control.tenant (tenant_id, hostname, schema_name, service_did, node_id, state, version, revision, created_at)
			SELECT i, 'h' || i, 't_' || i, 'did:web:h' || i, 1, 1, $2, 0, '2026-01-01' FROM generate_series(1, $1::int) i`, n, version)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Two nodes share the work; one broken tenant stops neither; a second run has nothing to do but complain.
func TestMigrateTenants(t *testing.T) {
	url := dbtest.URL(t)
	a, b := dbtest.Open(t, url), dbtest.Open(t, url)
	ctx := t.Context()
	const n = 24
	insertTenants(t, a, n, 0)
	for i := 1; i < n; i++ { // the last has no schema
		if err := a.EmptySchema(ctx, mustParse(t, fmt.Sprintf("t_%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var progress [2]db.Progress
	for i, d := range []*db.DB{a, b} {
		wg.Go(func() {
			err := d.MigrateTenants(ctx, 0, func(p db.Progress) { progress[i] = p })
			if !errors.Is(err, db.ErrSchemaMissing) || !strings.Contains(err.Error(), fmt.Sprintf("t_%d", n)) {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if progress[0].Done+progress[1].Done < n-1 || progress[0].Failed != 1 || progress[0].Total > n || progress[0].Total == 0 {
		t.Errorf("%+v", progress)
	}
	latest, err := db.LatestTenantVersion()
	if err != nil {
		t.Fatal(err)
	}
	if behind, err := a.Control().CountTenantsBehind(ctx, latest); behind != 1 || err != nil {
		t.Errorf("%d behind: %v", behind, err)
	}
	want := dump(t, url, "t_1")
	if diff := cmp.Diff(want, dump(t, url, fmt.Sprintf("t_%d", n-1))); diff != "" || len(want) < 50 {
		t.Error(diff)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := a.MigrateTenants(canceled, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A start with 10,000 up-to-date tenants does nothing per tenant: none of them even has a schema.
func TestUpToDateTenantsCostNothing(t *testing.T) {
	d := dbtest.New(t)
	latest, err := db.LatestTenantVersion()
	if err != nil {
		t.Fatal(err)
	}
	insertTenants(t, d, 10_000, latest)
	started := time.Now()
	err = d.MigrateTenants(t.Context(), 0, func(db.Progress) { t.Error("progress") })
	if err != nil {
		t.Error(err)
	}
	t.Logf("10,000 tenants: %s", time.Since(started))
}

func TestCreateTenantSchema(t *testing.T) {
	d := dbtest.New(t)
	ctx := t.Context()
	insertTenants(t, d, 1, 0)
	s := mustParse(t, "t_1")
	var wg sync.WaitGroup
	results := make(chan error, 4)
	for range 4 {
		wg.Go(func() { results <- d.CreateTenantSchema(ctx, s) })
	}
	wg.Wait()
	made := 0
	for range 4 {
		if err := <-results; err == nil {
			made++
		} else if !errors.Is(err, db.ErrSchemaExists) {
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	latest, err := db.LatestTenantVersion()
	if err != nil {
		t.Fatal(err)
	}
	if row, err := d.Control().GetTenant(ctx, 1); err != nil || row.Version != latest {
		t.Errorf("control says version %d: %v", row.Version, err)
	}
	if _, err := d.Tenant(s).Q().LockNextAID(ctx); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := d.DropTenantSchema(ctx, s); err != nil {
			t.Error(err)
		}
	}
	if err := d.MigrateTenant(ctx, s); !errors.Is(err, db.ErrSchemaMissing) {
		t.Errorf("%v", err)
	}
	if err := d.CreateTenantSchema(ctx, s); err != nil {
		t.Error(err)
	}
}

// A schema that a newer program has migrated is not touched.
func TestTooNew(t *testing.T) {
	d := dbtest.New(t)
	ctx := t.Context()
	s := dbtest.Tenant(t, d)
	if _, err := db.RawTenant(d.Tenant(s).Q()).Exec(ctx, "INSERT INTO pds_tenant.goose_db_version (version_id) VALUES (999)"); err != nil {
		t.Fatal(err)
	}
	if err := d.MigrateTenant(ctx, s); !errors.Is(err, db.ErrTooNew) {
		t.Errorf("%v", err)
	}
	err := d.ControlTx(ctx, func(q *controldb.Queries) error {
		_, err := db.RawControl(q).Exec(ctx, "INSERT INTO control.goose_db_version (version_id) VALUES (999)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.MigrateControl(ctx); !errors.Is(err, db.ErrTooNew) {
		t.Errorf("%v", err)
	}
}
