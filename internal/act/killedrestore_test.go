package act_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

const copied = "copy.two.test"

// keeps gives a process the store of backups, and the jobs that use it.
func (l *living) keeps(m *mortal) *act.Backups {
	m.t.Helper()
	files, err := store.OpenFiles("disk:"+m.dir+"/backups", "", store.Config{})
	if err != nil {
		m.t.Fatal(err)
	}
	b := act.NewBackups(l.archives(m), vault.New(files, m.now), act.BackupRules{}, l.parts.Repos, l.jobs)
	for _, k := range b.Kinds() {
		l.jobs.Register(k)
	}
	return b
}

// A process that is killed at any statement of a backup, a restore, a copy or a drill leaves it to another one. There is
// one backup then, repositories and the stream are whole, and no schema, tenant or file is left.
func TestKilledInARestore(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	m.write()
	conn, err := pgx.Connect(t.Context(), m.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	operator := m.process()
	backups := operator.keeps(m)
	m.backups = true
	m.uploads(operator)
	spec := func(s job.Spec, err error) job.Spec {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := m.backedUp(backups, func() {
		if _, err := operator.jobs.Do(t.Context(), spec(backups.Start(t.Context(), act.Operator{Deployment: auth.DeploymentOwner}, m.now2(), act.NewBackup{Unencrypted: true})), nil); err != nil {
			t.Fatal(err)
		}
	})
	wish := func(hostname string, replace bool) func(*tenant.Tenant) job.Spec {
		return func(*tenant.Tenant) job.Spec {
			m.known(operator)
			return spec(backups.StartRestore(t.Context(), act.Operator{}, act.RestoreWish{Backup: first, Hostname: hostname, Replace: replace}))
		}
	}
	steps := []struct {
		name string
		do   func(n int, after bool) bool
	}{
		{"backup", func(n int, after bool) (died bool) {
			m.backedUp(backups, func() {
				died = m.killed(n, after, func(now *tenant.Tenant) job.Spec {
					return spec(backups.Start(t.Context(), act.Operator{Deployment: auth.DeploymentOwner}, now, act.NewBackup{Unencrypted: true}))
				})
			})
			return died
		}},
		{"restore", func(n int, after bool) bool {
			m.write() // is gone again
			return m.killed(n, after, wish("", true))
		}},
		{"restore beside", func(n int, after bool) bool {
			died := m.killed(n, after, wish(copied, false))
			m.goesAway(operator, conn, "restored beside")
			return died
		}},
		{"clone", func(n int, after bool) bool {
			died := m.killed(n, after, func(now *tenant.Tenant) job.Spec {
				m.known(operator)
				return spec(backups.StartClone(t.Context(), act.Operator{}, now, copied, ""))
			})
			m.goesAway(operator, conn, "cloned")
			return died
		}},
		{"drill", func(n int, after bool) bool {
			return m.killed(n, after, func(*tenant.Tenant) job.Spec {
				return spec(backups.StartDrill(t.Context(), act.Operator{}, first, ""))
			})
		}},
	}
	for _, step := range steps {
		ats := []int{1 << 30} // lives, and tells how many statements there are
		for i := 0; i < len(ats); i++ {
			died := step.do(ats[i], rand.IntN(2) == 0)
			where := fmt.Sprintf("%s, killed at %d of %d", step.name, ats[i], m.trips)
			m.holds(where, tenant.Active, "")
			m.alone(conn, where)
			ats = m.further(ats, i, died, where)
		}
	}
}

// further is where processes die in turns to come. Nobody dies in the first, number 0: it tells how many round trips there are.
func (m *mortal) further(ats []int, turn int, died bool, where string) []int {
	m.t.Helper()
	switch {
	case m.t.Failed():
		m.t.FailNow()
	case turn == 0:
		return append(ats, someOf(m.trips)...)
	case !died:
		m.t.Logf("%s: it did not come so far", where)
	}
	return ats
}

// someOf says at which of the statements processes are killed: at one of them, or at each with LOCUS_TEST_KILLS=all.
func someOf(trips int) (at []int) {
	if os.Getenv("LOCUS_TEST_KILLS") != "all" {
		return []int{1 + rand.IntN(trips)}
	}
	for n := range trips {
		at = append(at, n+1)
	}
	return at
}

// uploads gives each account a file.
func (m *mortal) uploads(l *living) {
	m.t.Helper()
	page, err := l.parts.Repos.ListRepos(m.t.Context(), m.tenant.Schema, 0, 10)
	if err != nil {
		m.t.Fatal(err)
	}
	for i, one := range page {
		of := blob.Owner{Schema: m.tenant.Schema, AID: one.AID, DID: m.dids[i]}
		if _, err := l.parts.Blobs.Upload(m.t.Context(), blob.Upload{Owner: of, ContentType: "image/png"}, bytes.NewReader([]byte(m.dids[i]))); err != nil {
			m.t.Fatal(err)
		}
	}
}

// known has the operator's process look at the tenants, however shortly after it did.
func (m *mortal) known(operator *living) {
	m.t.Helper()
	m.seconds.Add(601)
	if err := operator.parts.Tenants.Refresh(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// backedUp holds that there is one backup more, and gives its name.
func (m *mortal) backedUp(b *act.Backups, do func()) string {
	m.t.Helper()
	list := func() map[string]bool {
		page, more, err := b.List(m.t.Context(), nil, "", act.MaxBackupPage)
		if err != nil || more {
			m.t.Fatal(more, err)
		}
		names := map[string]bool{}
		for _, e := range page {
			names[e.Name] = true
		}
		return names
	}
	before := list()
	do()
	var made []string
	for name := range list() {
		if !before[name] {
			made = append(made, name)
		}
	}
	if len(made) != 1 {
		m.t.Fatalf("%d backups were made: %v", len(made), made)
	}
	return made[0]
}

// goesAway looks at the tenant that was made, and removes it.
func (m *mortal) goesAway(operator *living, conn *pgx.Conn, where string) {
	m.t.Helper()
	ctx := m.t.Context()
	m.known(operator)
	made, err := operator.parts.Tenants.Get(ctx, copied)
	if err != nil || made.State != tenant.Active {
		m.t.Fatalf("%s: %+v: %v", where, made, err)
	}
	accounts := 0
	err = operator.parts.Repos.CheckTenant(ctx, made.Schema, func(r repodb.Report) error {
		for _, p := range r.Problems {
			m.t.Errorf("%s: account %d: %s", where, r.AID, p)
		}
		if r.AID != 0 {
			accounts++
		}
		return nil
	})
	if err != nil || accounts != len(m.dids) {
		m.t.Errorf("%s: %d accounts: %v", where, accounts, err)
	}
	files, err := operator.parts.Blobs.Verify(ctx, made.Schema, blob.VerifyOptions{Deep: true, Young: time.Nanosecond}, func(p blob.Problem) error {
		m.t.Errorf("%s: file: %+v", where, p)
		return nil
	})
	if err != nil || files.Blobs != int64(len(m.dids)) {
		m.t.Errorf("%s: %d files: %v", where, files.Blobs, err)
	}
	if _, err := operator.parts.Tenants.Delete(ctx, made, "", m.now().Add(-time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	if _, err := operator.jobs.Do(ctx, act.PurgeTenant(made.ID, act.Operator{}, true, true), nil); err != nil {
		m.t.Fatal(err)
	}
	m.known(operator)
	if _, err := operator.parts.Tenants.Get(ctx, copied); !errors.Is(err, tenant.ErrNotFound) {
		m.t.Errorf("%s: %v", where, err)
	}
	nothing(m.t, conn, made)
}

// alone holds that there is one tenant, one schema of it, and the files of its rows.
func (m *mortal) alone(conn *pgx.Conn, where string) {
	m.t.Helper()
	now := m.now2()
	var schemas, tenants int
	err := conn.QueryRow(m.t.Context(), "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_%'), (SELECT count(*) FROM control.tenant)").Scan(&schemas, &tenants)
	if err != nil || schemas != 1 || tenants != 1 {
		m.t.Errorf("%s: %d schemas and %d tenants: %v", where, schemas, tenants, err)
	}
	looks := m.process()
	defer looks.parts.DB.Close()
	files, err := looks.parts.Blobs.Verify(m.t.Context(), now.Schema, blob.VerifyOptions{Deep: true, Young: time.Nanosecond}, func(p blob.Problem) error {
		m.t.Errorf("%s: file: %+v", where, p)
		return nil
	})
	if err != nil || files.Blobs != int64(len(m.dids)) {
		m.t.Errorf("%s: %d files: %v", where, files.Blobs, err)
	}
}
