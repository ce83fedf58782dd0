package act_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// A worker is emptied while its tenants write: all go to the other one, and no new ones come.
func TestCitusDrain(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 20)
	for i := range 4 {
		if _, err := w.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: fmt.Sprintf("more%d.example.com", i)}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, stale := w.process()
	stop := w.writers(w.parts.Repos, stale)
	d, r, _ := w.process()
	acts, jobs := runner(d, r, nil)
	jobs.Register(acts.DrainJob(jobs))
	from := fmt.Sprintf("worker%d", w.tenant.NodeID-1)
	spec, err := acts.StartDrain(t.Context(), act.Operator{}, from, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	j, err := jobs.Do(t.Context(), spec, nil)
	var out act.Drained
	if err != nil || j.Into(&out) != nil || out.Failed != 0 || out.Moved < 2 {
		t.Fatalf("%+v: %v", out, err)
	}
	for _, err := range stop() {
		t.Error("a write was refused:", err)
	}
	to, _ := other(w.tenant.NodeID)
	w.prove(to)
	if n, err := r.Node(t.Context(), from); err != nil || n.Tenants != 0 || n.AcceptsNew {
		t.Errorf("%+v: %v", n, err)
	}
}

// The backup of a tenant on one worker becomes a tenant on the other.
func TestCitusRestoreElsewhere(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 30)
	d, r, store := w.process()
	log := slog.New(slog.DiscardHandler)
	blobs := blob.New(d, w.keys, time.Now, log, blob.Config{Stores: blob.StoreConfig{DataDir: t.TempDir()}})
	t.Cleanup(blobs.Close)
	archives := act.NewArchives(d, r, w.parts.Hub, &archive.Store{DB: d, Blobs: blobs, Keys: w.keys, Now: time.Now, Log: log, Program: "test"}, time.Now, log)
	stop := w.writers(store)
	var file bytes.Buffer
	if _, _, err := archives.Backup(t.Context(), w.now2(r), act.Operator{}, &file, archive.Options{Blobs: archive.BlobsIncluded}); err != nil {
		t.Fatal(err)
	}
	for _, err := range stop() {
		t.Error("a write was refused:", err)
	}
	if _, err := r.Delete(t.Context(), w.now2(r), "", w.now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	purge := act.PurgeTenant(w.tenant.ID, act.Operator{}, false, true)
	jobs := job.New(w.parts.DB, w.now, log)
	parts := w.parts
	parts.Blobs = blobs
	for _, k := range act.New(parts).TenantJobs() {
		jobs.Register(k)
	}
	if _, err := jobs.Do(t.Context(), purge, nil); err != nil {
		t.Fatal(err)
	}
	_, r, _ = w.process() // one that has not known it
	archives = act.NewArchives(d, r, w.parts.Hub, &archive.Store{DB: d, Blobs: blobs, Keys: w.keys, Now: time.Now, Log: log, Program: "test"}, time.Now, log)
	to, _ := other(w.tenant.NodeID)
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file.Bytes())), nil }
	out, err := archives.Restore(t.Context(), act.Operator{}, act.Restore{Open: open, Node: to})
	if err != nil {
		t.Fatal(err)
	}
	if out.Tenant.NodeID != to {
		t.Errorf("it is on node %d", out.Tenant.NodeID)
	}
	w.acked.Clear() // what was written behind the backup is not in it
	w.tenant = out.Tenant
	w.prove(to)
	w.fill(10)
	w.prove(to)
}

// A tenant's schema is changed as migrations change it while two processes write to it.
func TestCitusUpgrade(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 20)
	_, _, second := w.process()
	stop := w.writers(w.parts.Repos, second)
	conn, err := pgx.Connect(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{
		"ALTER TABLE x.actor ADD COLUMN later text NOT NULL DEFAULT ''",
		"ALTER TABLE x.record ADD COLUMN later bigint; ALTER TABLE x.repo_event ADD COLUMN later bigint",
		"CREATE TABLE x.later (id bigint PRIMARY KEY, aid bigint NOT NULL REFERENCES x.actor); CREATE INDEX later_aid ON x.later (aid)",
	} {
		before := w.n.Load()
		for one := range strings.SplitSeq("BEGIN; "+strings.ReplaceAll(sql, "x.", w.tenant.Schema.String()+".")+"; COMMIT", "; ") {
			if _, err := conn.Exec(t.Context(), one); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "writers go on", func() bool { return w.n.Load() >= before+20 })
	}
	for _, err := range stop() {
		t.Error("a write was refused:", err)
	}
	w.prove(w.tenant.NodeID)
	w.moves(nil) // the new table, too
}

// PgBouncer, giving a server to each transaction, stands before the workers: a tenant moves there and back under writers.
func TestCitusThroughPgBouncer(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	c := newOwnCity(t)
	nodes := map[string]string{}
	for name, at := range dbtest.Workers(c.url) {
		nodes[name] = dbtest.NewBouncer(t, at, 0).URL
	}
	c.nodes = nodes
	_, _, through := c.process()
	_, _, stale := c.process()
	for range 2 {
		c.moves(c.writers(through, stale))
	}
}

// The standby of a worker takes over. Its URL names both; the cluster's catalogue and the node are told the new address.
func TestCitusPromotion(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	c := newOwnCity(t)
	at := c.tenant.NodeID
	name := fmt.Sprintf("worker%d", at-1)
	primary := c.member(at)
	standby := c.cluster.Standby(primary)
	label, err := c.d.LabelWorker(t.Context(), name, primary.Host())
	if err != nil {
		t.Fatal(err)
	}
	ask[int](t, c.url, "WITH u AS (UPDATE control.node SET label = $1 WHERE worker <> '' RETURNING 1) SELECT count(*) FROM u", label)
	c.nodes = map[string]string{name: both(t, dbtest.Workers(c.url)[name], standby.Host())}
	d, r, store := c.process()
	stop := c.writers(store)
	eventually(t, "the standby streams", func() bool {
		return ask[int](t, dbtest.Where(c.url, c.tenant.Schema), "SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'") == 1
	})
	primary.Configure("synchronous_standby_names", "*") // what is acknowledged from now on, the standby has
	eventually(t, "commits wait for it", func() bool {
		return ask[int](t, dbtest.Where(c.url, c.tenant.Schema), "SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state = 'sync'") == 1
	})
	before := c.n.Load()
	eventually(t, "writers go on", func() bool { return c.n.Load() >= before+20 })
	primary.Kill()
	standby.Configure("synchronous_standby_names", "")
	standby.Promote()
	before = c.n.Load()
	host, port, err := net.SplitHostPort(standby.Host())
	if err != nil {
		t.Fatal(err)
	}
	ask[string](t, c.url, "SELECT citus_update_node(nodeid, $2, $3::int, force => true)::text FROM pg_dist_node WHERE nodename = $1", strings.TrimSuffix(primary.Host(), ":5432"), host, port)
	eventually(t, "writers go on", func() bool { return c.n.Load() >= before+20 })
	refused := stop()
	t.Logf("%d writes were refused while nobody was primary", len(refused))
	acts := act.NewTenantActs(d, r, time.Now)
	if _, err := acts.AddNode(t.Context(), act.Operator{}, name, true, standby.Host()); err != nil {
		t.Fatal(err)
	}
	if err := d.LearnNodes(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	c.prove(at)
	if _, err := acts.CreateTenant(t.Context(), act.Operator{}, tenant.Spec{Hostname: "later.example.com", Node: at}); err != nil {
		t.Error("a new tenant:", err)
	}
	c.moves(nil) // to the other worker
}

// both is a URL for two servers, of which the one is meant that can be written to.
func both(t *testing.T, one, other string) string {
	t.Helper()
	u, err := url.Parse(one)
	host, port, splitErr := net.SplitHostPort(other)
	if err != nil || splitErr != nil {
		t.Fatal(err, splitErr)
	}
	q := u.Query()
	q.Set("host", q.Get("host")+","+host)
	q.Set("port", q.Get("port")+","+port)
	q.Set("target_session_attrs", "read-write")
	q.Set("connect_timeout", "2")
	u.RawQuery = q.Encode()
	return u.String()
}
