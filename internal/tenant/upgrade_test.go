package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/schema"
)

// older makes a tenant's schema anew as the version before had it.
func older(t testing.TB, d *db.DB, url string, made *tenant.Tenant) {
	t.Helper()
	all, err := schema.TenantMigrations()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.DropTenantSchema(t.Context(), made.Schema); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateTenantSchemaAt(t.Context(), made.Schema, int64(len(all)-1)); err != nil {
		t.Fatal(err)
	}
	raw(t, url, fmt.Sprintf("UPDATE control.tenant SET needs = 0 WHERE schema_name = '%s'", made.Schema))
}

func raw(t testing.TB, url, sql string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}

func logless(d *db.DB, t testing.TB) *tenant.Registry {
	return tenant.NewRegistry(d, newKeys(t), tenant.Config{Scheme: "http", Port: 2583, Dev: true}, time.Now, slog.New(slog.DiscardHandler))
}

// A tenant that is behind is migrated before its first request, once, however many ask; others need not wait for it.
func TestBehind(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	ctx := t.Context()
	first := logless(d, t)
	behind, broken := create(t, first, tenant.Spec{Hostname: "behind.test"}), create(t, first, tenant.Spec{Hostname: "broken.test"})
	create(t, first, tenant.Spec{Hostname: "fine.test"})
	older(t, d, url, behind)
	older(t, d, url, broken)
	raw(t, url, "DROP SCHEMA "+broken.Schema.String()+" CASCADE")

	r := logless(d, t)
	if got, err := r.Get(ctx, "behind.test"); err != nil || got.State != tenant.Behind || !errors.Is(got.Usable(), tenant.ErrBehind) {
		t.Fatalf("%+v: %v", got, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if m, err := r.ByHost(ctx, "behind.test"); err != nil || m.State != tenant.Active || m.Usable() != nil {
				t.Errorf("%v: %v", m.Tenant, err)
			}
		})
	}
	wg.Wait()
	if _, err := d.Tenant(behind.Schema).Q().GetStreamHead(ctx); err != nil {
		t.Error(err)
	}
	if m, err := r.ByHost(ctx, "broken.test"); !errors.Is(err, tenant.ErrBehind) || m.Tenant == nil {
		t.Errorf("%v: %v", m.Tenant, err)
	}
	if _, err := r.ByHost(ctx, "fine.test"); err != nil {
		t.Error(err)
	}
	// Another process, which knew it as behind, finds it done.
	if got, err := r.Get(ctx, "behind.test"); err != nil || got.State != tenant.Active {
		t.Errorf("%v: %v", got, err)
	}
}

// In the background all are migrated; why one was not can be read.
func TestRunUpgrades(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := logless(d, t)
	var all []*tenant.Tenant
	for i := range 4 {
		all = append(all, create(t, first, tenant.Spec{Hostname: fmt.Sprintf("t%d.test", i)}))
		older(t, d, url, all[i])
	}
	raw(t, url, "DROP SCHEMA "+all[3].Schema.String()+" CASCADE")
	r := logless(d, t)
	ended := make(chan error)
	go func() { ended <- r.RunUpgrades(ctx) }()
	states := func() (active int) {
		list, err := r.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, t := range list {
			if t.State == tenant.Active {
				active++
			}
		}
		return active
	}
	for states() < 3 {
		time.Sleep(time.Millisecond)
	}
	for text := ""; text == ""; {
		row, err := d.Control().GetTenant(ctx, all[3].ID)
		if err != nil {
			t.Fatal(err)
		}
		text = row.UpgradeError
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A process goes on with a tenant that a newer program has migrated, unless the new schema needs programs that know it.
func TestNeeds(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	ctx := t.Context()
	r := logless(d, t)
	made := create(t, r, tenant.Spec{Hostname: "pds.test"})
	change := func(set string) {
		raw(t, url, `UPDATE control.counter SET value = value + 1 WHERE name = 'revision';
UPDATE control.tenant SET `+set+`, revision = (SELECT value FROM control.counter WHERE name = 'revision') WHERE schema_name = '`+made.Schema.String()+`'`)
		if err := r.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
	}
	change("version = version + 1")
	if _, err := r.ByHost(ctx, "pds.test"); err != nil {
		t.Errorf("a schema that only has more: %v", err)
	}
	if _, err := logless(d, t).ByHost(ctx, "pds.test"); !errors.Is(err, tenant.ErrTooNew) {
		t.Errorf("a process that starts on it: %v", err)
	}
	change("needs = version")
	if _, err := r.ByHost(ctx, "pds.test"); !errors.Is(err, tenant.ErrTooNew) {
		t.Errorf("a schema that it does not know: %v", err)
	}
}
