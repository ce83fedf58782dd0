package act_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// A process that is killed at any statement of the removal of a tenant leaves it to another one, and nothing of the tenant
// is left.
func TestKilledInAPurge(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	conn, err := pgx.Connect(t.Context(), m.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	maker := m.process()
	from, stride := strides()
	for n, alive := from, true; alive; n += stride {
		one, err := maker.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: "one.two.test"})
		if err != nil {
			t.Fatal(err)
		}
		m.tenant = one
		if _, err := maker.parts.Tenants.Delete(t.Context(), one, "", m.now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		alive = m.killed(n, n/stride%2 == 0, func(*tenant.Tenant) job.Spec { return act.PurgeTenant(one.ID, act.Operator{}, false, true) })
		m.seconds.Add(601) // a process that was not told looks by itself
		if err := maker.parts.Tenants.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := maker.parts.Tenants.Get(t.Context(), "one.two.test"); !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("killed at %d: %v", n, err)
		}
		nothing(t, conn, one)
		if !alive {
			t.Logf("killed at up to %d statements", n-stride)
		}
	}
}

// The same of a tenant that has something of everything: no row, no file, and nobody else's is gone.
func TestKilledInAFullPurge(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	conn := dial(t, m.url)
	defer closed(t, conn)
	whose := *m // stays
	m.write()
	maker := m.process()
	m.uploads(maker)
	stays := m.tenant
	before := snapshot(t, conn, stays)
	files := m.files()
	ats := []int{1 << 30} // lives, and tells how many statements there are
	for i := 0; i < len(ats); i++ {
		n := ats[i]
		one, err := maker.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: fullHost, HandleDomains: []string{fullHost}})
		if err != nil {
			t.Fatal(err)
		}
		m.tenant, m.dids = one, nil
		m.domain = fullHost
		for range 2 {
			m.opens()
		}
		m.hasEverything(maker, rand.New(rand.NewPCG(rand.Uint64(), 2)))
		if len(m.files()) <= len(files) {
			t.Fatal("it has no files")
		}
		if _, err := maker.parts.Tenants.Delete(t.Context(), one, "", m.now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		died := m.killed(n, rand.IntN(2) == 0, func(*tenant.Tenant) job.Spec { return act.PurgeTenant(one.ID, act.Operator{}, false, true) })
		where := fmt.Sprintf("killed at %d (%v)", n, died)
		m.seconds.Add(601)
		if err := maker.parts.Tenants.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := maker.parts.Tenants.Get(t.Context(), fullHost); !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%s: %v", where, err)
		}
		nothing(t, conn, one)
		if diff := cmp.Diff(files, m.files()); diff != "" {
			t.Errorf("%s: files: %s", where, diff)
		}
		after := snapshot(t, conn, stays)
		if diff := cmp.Diff(before.rows, after.rows); diff != "" {
			t.Errorf("%s: another tenant: %s", where, diff)
		}
		m.tenant, m.dids, m.domain = whose.tenant, whose.dids, whose.domain
		ats = m.further(ats, i, died, where)
	}
}

const fullHost = "full.two.test"

// files are those in the folder of files, but for what is written there for the folder itself.
func (m *mortal) files() (names []string) {
	m.t.Helper()
	root := filepath.Join(m.dir, "blobs")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "/t_") {
			names = append(names, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return names
}

// nothing looks at all that a tenant could leave behind in Postgres.
func nothing(t *testing.T, conn *pgx.Conn, of *tenant.Tenant) {
	t.Helper()
	left, err := conn.Query(t.Context(), `SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname LIKE $1 || '%'
		UNION ALL SELECT 'relation ' || relname FROM pg_class c WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = c.relnamespace)`, of.Schema.String())
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(left, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.Query(t.Context(), "SELECT table_name FROM information_schema.columns WHERE table_schema = 'control' AND column_name = 'tenant_id'")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(tables, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if staysInControl[name] != "" {
			continue
		}
		var rows int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM control."+name+" WHERE tenant_id = $1", of.ID).Scan(&rows); err != nil || rows > 0 {
			found = append(found, fmt.Sprintf("%d rows of control.%s (%v)", rows, name, err))
		}
	}
	if len(found) > 0 {
		t.Errorf("left of %s: %v", of.Schema, found)
	}
}
