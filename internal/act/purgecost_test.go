package act_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// neighbours is how many tenants write.
const neighbours = 50

// What purges cost who writes beside them: LOCUS_BENCH_PURGE=records:tenants, such as 100000:200. A tenant with so many records is
// purged, and then so many empty tenants one after the other; accounts of other tenants write all the time, and between
// purges with nothing beside them. It runs only when asked for.
func TestPurgeCost(t *testing.T) {
	records, tenants, ok := strings.Cut(os.Getenv("LOCUS_BENCH_PURGE"), ":")
	if !ok {
		return
	}
	big, err := strconv.Atoi(records)
	if err != nil {
		t.Fatal(err)
	}
	many, err := strconv.Atoi(tenants)
	if err != nil {
		t.Fatal(err)
	}
	server := dbtest.Durable(t)
	if err := dbtest.Open(t, server.URL()).MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := newMortalOn(t, server.URL())
	l := m.process()
	// Many tenants, so that connections know many tables, all of which a flood of invalidations would have them read anew.
	homes := []*tenant.Tenant{m.tenant}
	for i := range neighbours - 1 {
		m.tenant, err = l.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: fmt.Sprintf("home%d.two.test", i), HandleDomains: []string{fmt.Sprintf("home%d.two.test", i)}})
		if err != nil {
			t.Fatal(err)
		}
		m.domain = m.tenant.Hostname
		if _, err := m.account(0); err != nil {
			t.Fatal(err)
		}
		homes = append(homes, m.tenant)
	}
	m.tenant = homes[0]
	// writes makes records until it is stopped, and says how long each took.
	writes := func(stop <-chan struct{}) (took []time.Duration) {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return took
			default:
			}
			m.n++
			path := fmt.Sprintf("app.bsky.feed.post/w%09d", m.n)
			began := time.Now()
			_, err := l.parts.Repos.Write(t.Context(), homes[n%len(homes)].Schema, 1, repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
				return []repo.Write{{Action: repo.ActionCreate, Path: path, Record: post(path)}}, nil
			})
			if err != nil {
				t.Error(err)
				return took
			}
			took = append(took, time.Since(began))
			time.Sleep(2 * time.Millisecond)
		}
	}
	beside := func(what string, do func()) {
		stop, done := make(chan struct{}), make(chan []time.Duration, 1)
		go func() { done <- writes(stop) }()
		began := time.Now()
		do()
		span := time.Since(began)
		close(stop)
		took := <-done
		slices.Sort(took)
		at := func(q float64) time.Duration {
			return took[min(len(took)-1, int(q*float64(len(took))))].Round(10 * time.Microsecond)
		}
		t.Logf("%-28s %6d writes in %6s: p50 %s, p99 %s, p99.9 %s, longest %s", what, len(took), span.Round(10*time.Millisecond), at(0.5), at(0.99), at(0.999), at(1))
	}
	idle := func(d time.Duration) func() { return func() { time.Sleep(d) } }
	gone := func(of *tenant.Tenant) *tenant.Tenant {
		if _, err := l.parts.Tenants.Delete(t.Context(), of, "", m.now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		return of
	}
	purge := func(of *tenant.Tenant) {
		if _, err := l.jobs.Do(t.Context(), act.PurgeTenant(of.ID, act.Operator{}, false, true), nil); err != nil {
			t.Fatal(err)
		}
	}

	full, err := l.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: "full.two.test"})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, m, full, big)
	var empty []*tenant.Tenant
	for i := range many {
		one, err := l.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: fmt.Sprintf("empty%d.two.test", i)})
		if err != nil {
			t.Fatal(err)
		}
		empty = append(empty, gone(one))
	}
	gone(full)
	beside("warm", idle(3*time.Second))
	beside("idle", idle(10*time.Second))
	beside(fmt.Sprintf("a tenant of %d records", big), func() { purge(full); time.Sleep(time.Second) })
	beside("idle", idle(10*time.Second))
	beside(fmt.Sprintf("%d empty tenants", many), func() {
		for _, one := range empty {
			purge(one)
		}
	})
	beside("idle", idle(10*time.Second))
}

// fill gives a tenant rows as so many records have them. Nobody reads them.
func fill(t *testing.T, m *mortal, of *tenant.Tenant, n int) {
	t.Helper()
	conn := dial(t, m.url)
	defer closed(t, conn)
	sql := strings.ReplaceAll(`INSERT INTO S.record (aid, path, rev, cid, value, indexed_at, link_to) SELECT 1 + i % 100, 'app.bsky.feed.like/3l' || lpad(i::text, 11, '0'), i, decode(lpad(to_hex(i), 72, '0'), 'hex'),
 decode(repeat(md5(i::text), 8), 'hex'), now(), 'at://did:plc:x/app.bsky.feed.post/' || i FROM generate_series(1, ROWS) i;
INSERT INTO S.mst_node (aid, level, after, rev, cid, content) SELECT 1 + i % 100, i % 3, 'app.bsky.feed.like/3l' || lpad(i::text, 11, '0'), i, decode(lpad(to_hex(i), 72, '0'), 'hex'), decode(repeat(md5(i::text), 20), 'hex') FROM generate_series(1, ROWS, 4) i;
INSERT INTO S.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload) SELECT i, 1 + i % 100, 1, now(), i, 5, decode(repeat(md5(i::text), 60), 'hex') FROM generate_series(1, ROWS) i`, "S.", of.Schema.String()+".")
	if _, err := conn.PgConn().Exec(t.Context(), strings.ReplaceAll(sql, "ROWS", strconv.Itoa(n))).ReadAll(); err != nil {
		t.Fatal(err)
	}
}
