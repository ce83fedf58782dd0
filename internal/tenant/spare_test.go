package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// TestSpares: schemas are made ahead and refilled, by several processes at once without making too many; a
// tenant gets one with secrets of its own; nobody takes a spare for a tenant.
func TestSpares(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	r, other := newRegistry(d, keys), newRegistry(d, keys)
	if len(d.KnownNodes()) > 1 { // each database has spares of its own
		if _, err := r.SetNode(t.Context(), "worker2", false); err != nil {
			t.Fatal(err)
		}
	}
	keep := func() (made int) {
		t.Helper()
		var wg sync.WaitGroup
		counts, errs := make([]int, 2), make([]error, 2)
		for i, r := range []*tenant.Registry{r, other} {
			wg.Go(func() { counts[i], errs[i] = r.KeepSpares(t.Context(), 4, 0) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		return counts[0] + counts[1]
	}
	if n := keep(); n != 4 {
		t.Fatalf("%d spares were made, want 4", n)
	}
	if all, err := r.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("spares are tenants: %v, %v", all, err)
	}
	if err := d.MigrateTenants(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
	one := create(t, r, tenant.Spec{Hostname: "one.example.com"})
	if n := keep(); one.Schema.String() != "t_1" || n != 1 {
		t.Errorf("the first tenant is in %s; then %d spares were made, want 1", one.Schema, n)
	}
	two := create(t, other, tenant.Spec{Hostname: "two.example.com"})
	if n := keep(); two.Schema.String() != "t_2" || n != 1 {
		t.Errorf("the second tenant is in %s; then %d spares were made, want 1", two.Schema, n)
	}
	if direct, err := newRegistry(d, keys).KeepSpares(t.Context(), tenant.SparesByTenants, 0); direct != 0 || err != nil {
		t.Errorf("so few tenants have %d spares, %v", direct, err)
	}
	secret := func(at *tenant.Tenant) string {
		t.Helper()
		s, err := d.Tenant(at.Schema).Q().GetSecret(t.Context(), tenant.SecretPLCRotation)
		if err != nil {
			t.Fatal(err)
		}
		return s.Public
	}
	if secret(one) == secret(two) {
		t.Error("two tenants have one key")
	}
	for _, made := range []*tenant.Tenant{one, two} {
		row, err := d.Control().GetTenant(t.Context(), made.ID)
		want, _ := db.LatestTenantVersion()
		if err != nil || row.Version != want {
			t.Errorf("%s is noted at version %d, %v", made.Hostname, row.Version, err)
		}
	}
}

// TestSparesInTrouble: what a maker leaves half made is made whole; one whose schema is gone, or has somebody's rows, is not
// what a tenant silently gets.
func TestSparesInTrouble(t *testing.T) {
	dbtest.Plain(t, "it makes spares in the database of control itself, where a cluster has none")
	d, keys := dbtest.New(t), newKeys(t)
	r := newRegistry(d, keys)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := r.KeepSpares(ended, 2, 0); err == nil {
		t.Error("spares were made after the end")
	}
	// As a maker leaves it that is killed between the schemas and the note of them.
	if _, err := d.Control().LockNextCounters(t.Context(), controldb.LockNextCountersParams{Name: "tenant_id", Many: 2}); err != nil {
		t.Fatal(err)
	}
	if err := d.Control().InsertSpares(t.Context(), controldb.InsertSparesParams{NodeID: db.HomeNode, TenantIds: []int64{1, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateTenantSchema(t.Context(), named(t, "t_1")); err != nil {
		t.Fatal(err)
	}
	third := create(t, r, tenant.Spec{Hostname: "third.example.com"})
	if third.Schema.String() != "t_3" {
		t.Errorf("a schema that is being made was given to a tenant: %s", third.Schema)
	}
	if n, err := r.KeepSpares(t.Context(), 2, 0); n != 2 || err != nil {
		t.Fatalf("%d spares were made whole, %v", n, err)
	}

	if err := d.DropTenantSchema(t.Context(), named(t, "t_1")); err != nil {
		t.Fatal(err)
	}
	if got := create(t, r, tenant.Spec{Hostname: "first.example.com"}); got.Schema.String() != "t_1" {
		t.Errorf("got %s", got.Schema)
	}
	if _, err := d.Tenant(named(t, "t_2")).Q().LockNextAID(t.Context()); err != nil {
		t.Fatal(err)
	}
	if made, err := r.Create(t.Context(), tenant.Spec{Hostname: "second.example.com"}); err == nil {
		t.Errorf("a tenant has a schema that had rows: %+v", made)
	}
}

// TestPlansStay: making spares, and tenants of them, leaves the plans of other connections as they are. Only naming schemas
// does not, which is done for many at once.
func TestPlansStay(t *testing.T) {
	dbtest.Plain(t, "Citus makes each schema with its tables")
	url, keys := dbtest.URL(t), newKeys(t)
	d := dbtest.Open(t, url)
	r := newRegistry(d, keys)
	c := dial(t, url)
	for _, sql := range []string{
		"CREATE TABLE seen (id int PRIMARY KEY, word text)", "SET plan_cache_mode = force_generic_plan",
		"PREPARE look AS SELECT word FROM seen WHERE id = $1",
	} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// set makes Postgres prefer one kind of plan, which the statement has from its next planning on.
	set := func(index string) {
		t.Helper()
		for _, sql := range []string{"SET enable_indexscan = " + index, "SET enable_bitmapscan = " + index} {
			if _, err := c.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	plan := func() (first string) {
		t.Helper()
		rows, err := c.Query(t.Context(), "EXPLAIN (COSTS off) EXECUTE look(1)", pgx.QueryExecModeSimpleProtocol)
		if err == nil {
			lines, e := pgx.CollectRows(rows, pgx.RowTo[string])
			if err = e; err == nil {
				return lines[0]
			}
		}
		t.Fatal(err)
		return ""
	}
	if _, err := r.KeepSpares(t.Context(), 2, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "SET enable_seqscan = off"); err != nil {
		t.Fatal(err)
	}
	set("on")
	indexed := plan()
	if _, err := c.Exec(t.Context(), "SET enable_seqscan = on"); err != nil {
		t.Fatal(err)
	}
	set("off")
	for i := range 2 {
		create(t, r, tenant.Spec{Hostname: fmt.Sprintf("t%d.example.com", i)})
		if got := plan(); got != indexed {
			t.Errorf("after tenant %d it was planned anew: %s", i, got)
		}
	}
	for want := 1; want <= 4; want++ {
		if n, err := r.KeepSpares(t.Context(), want, 0); err != nil {
			t.Fatal(n, err)
		}
		if got := plan(); got != indexed {
			t.Errorf("after spares were made it was planned anew: %s", got)
		}
	}
	if err := d.NameSchemas(t.Context(), []db.Schema{named(t, "t_1000"), named(t, "t_1001")}); err != nil {
		t.Fatal(err)
	}
	if got := plan(); got == indexed {
		t.Errorf("the test sees nothing: %s", got)
	}
}

func named(t *testing.T, name string) db.Schema {
	t.Helper()
	s, err := db.ParseSchema(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSparesKilled: a process dies at any round trip of making spares and of giving one to a tenant, and another one goes
// on: there is one tenant, and each schema is a tenant's or a spare's.
func TestSparesKilled(t *testing.T) {
	dbtest.Plain(t, "a proxy before one server kills at each round trip")
	url, keys, late := dbtest.URL(t), newKeys(t), time.Now()
	d := dbtest.Open(t, url)
	process := func(d *db.DB) *tenant.Registry {
		late = late.Add(time.Hour) // whoever had begun before is given up
		now := late
		return tenant.NewRegistry(d, keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	}
	work := func(ctx context.Context, r *tenant.Registry, host string) error {
		if _, err := r.KeepSpares(ctx, 2, 0); err != nil {
			return err
		}
		_, err := r.Create(ctx, tenant.Spec{Hostname: host})
		if errors.Is(err, tenant.ErrHostnameTaken) {
			return nil // that was the last thing it did
		}
		return err
	}
	tenants := 0
	// A run tries some round trips, and the next run others; LOCUS_TEST_KILLS=all tries each.
	n, stride, ways := 1+rand.IntN(12), 12, []bool{rand.IntN(2) == 0}
	if os.Getenv("LOCUS_TEST_KILLS") == "all" {
		n, stride, ways = 1, 1, []bool{false, true}
	}
	for died := true; died; n += stride {
		for _, after := range ways {
			proxy := dbtest.NewProxy(t, url)
			mortal := dbtest.Open(t, proxy.URL())
			first, host := process(mortal), fmt.Sprintf("t%d-%v.example.com", n, after)
			if after {
				proxy.DieAfter(n)
			} else {
				proxy.DieBefore(n)
			}
			err := work(t.Context(), first, host)
			died = proxy.Disarm() > 0
			if mortal.Close(); !died && err != nil {
				t.Fatal(err)
			}
			second := process(d)
			if err := work(t.Context(), second, host); err != nil {
				t.Fatalf("after a death at %d (after: %v): %v", n, after, err)
			}
			tenants++
			all, err := second.List(t.Context())
			if err != nil || len(all) != tenants {
				t.Fatalf("after a death at %d (after: %v) there are %d tenants, want %d; %v", n, after, len(all), tenants, err)
			}
			var lost int
			err = dial(t, url).QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace n WHERE nspname ~ '^t_'
				AND (SELECT count(*) FROM control.tenant t WHERE t.schema_name = n.nspname) + (SELECT count(*) FROM control.spare s WHERE 't_' || s.tenant_id = n.nspname) <> 1`).Scan(&lost)
			if err != nil || lost > 0 {
				t.Fatalf("after a death at %d (after: %v) %d schemas are nobody's, or two's; %v", n, after, lost, err)
			}
		}
	}
}

// TestSparesOfNode: a database that is to be a node no longer loses its spares, and takes none any more.
func TestSparesOfNode(t *testing.T) {
	dbtest.Plain(t, "it counts the spares of all databases, and a cluster has two of its own")
	home, second := dbtest.URL(t), dbtest.EmptyURL(t)
	d := dbtest.OpenNodes(t, home, map[string]string{"second": second})
	r := newRegistry(d, newKeys(t))
	if _, err := r.AddNode(t.Context(), "second", true, ""); err != nil {
		t.Fatal(err)
	}
	if n, err := r.KeepSpares(t.Context(), 1, 1); n != 2 || err != nil {
		t.Fatalf("%d spares in two databases, %v", n, err)
	}
	if err := r.RemoveNode(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	var left int
	err := dial(t, second).QueryRow(t.Context(), "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^t_'").Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d schemas are left, %v", left, err)
	}
	if one := create(t, r, tenant.Spec{Hostname: "one.example.com"}); one.NodeID != db.HomeNode {
		t.Errorf("%+v", one)
	}
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.WithoutCancel(t.Context())) })
	return c
}
