package db_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// replicaLog is what the log is told.
type replicaLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *replicaLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *replicaLog) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// TestReplica: a replica is read while it is fresh and has what this process knows of, and the primary answers otherwise.
func TestReplica(t *testing.T) {
	cluster := dbtest.NewCluster(t)
	log := new(replicaLog)
	d := dbtest.OpenConfig(t, db.Config{
		URL: cluster.URL(), ReplicaStaleness: time.Second, Log: slog.New(slog.NewTextHandler(log, nil)),
		Replicas: []db.Replica{{URL: cluster.Async.URL()}, {URL: cluster.Primary.URL()}, {URL: strings.Replace(cluster.Sync.URL(), "/locus?", "/template1?", 1)}},
	})
	ctx, stop := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { _ = d.RunReplicas(ctx) })
	defer watch.Wait()
	defer stop()
	if err := d.MigrateControl(ctx); err != nil {
		t.Fatal(err)
	}
	schema := dbtest.Tenant(t, d)
	tenant := d.Tenant(schema)
	take := func() int64 {
		t.Helper()
		aid, err := tenant.Q().LockNextAID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return aid + 1
	}
	next := func(ctx context.Context) int64 {
		t.Helper()
		row, err := tenant.Q().GetStreamHead(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return row.NextAID
	}
	lag := func(o db.Lag) (lent context.Context) {
		t.Helper()
		cluster.Eventually("a replica is new enough", func() (ok bool) { lent, ok = d.Lagging(ctx, schema, o); return ok })
		return lent
	}
	reads := func() int64 { return replicaOf(t, d, "/trailing/").Reads }

	// A schema that is new to the process may be another's at a replica: not before it has all from now on.
	if _, ok := d.Lagging(ctx, schema, db.Lag{}); ok {
		t.Error("a replica is asked for a schema that was made a moment ago")
	}
	want := take()
	lent := lag(db.Lag{})
	if got := next(lent); got < want || reads() != 1 {
		t.Errorf("a fresh replica says %d, want %d; it answered %d reads", got, want, reads())
	}
	events, err := tenant.Q().ListEvents(lent, tenantdb.ListEventsParams{MaxRows: 10, MaxBytes: 1000})
	if err != nil || len(events) != 0 || reads() != 2 {
		t.Errorf("rows from a replica: %d, %v, %d reads", len(events), err, reads())
	}
	for where, why := range map[string]string{"/primary/": "no standby", "template1": "another database"} {
		if s := replicaOf(t, d, where); s.Usable || !strings.Contains(s.Why, why) {
			t.Errorf("%s: %+v", where, s)
		}
	}
	if found, err := d.LookAtReplicas(ctx, db.HomeNode, 10*time.Second); err != nil || len(found) != 3 || !found[0].Usable || found[0].Age < 0 || found[1].Usable {
		t.Errorf("looked at: %+v, %v", found, err)
	}

	// What this process was told of is not read where it may be missing.
	d.Changed(schema, 7)
	_, other := d.Lagging(ctx, schema, db.Lag{AID: 8})
	if _, ok := d.Lagging(ctx, schema, db.Lag{AID: 7}); ok || !other || d.Covers(lent, 7) || !d.Covers(lent, 8) {
		t.Error("a change just made")
	}
	lag(db.Lag{AID: 7})
	d.Changed(schema, 0)
	if _, ok := d.Lagging(ctx, schema, db.Lag{AID: 8}); ok {
		t.Error("a change of the tenant just made")
	}

	t.Run("a read that the replica ends", func(t *testing.T) {
		lent, runs := lag(db.Lag{}), 0
		err := tenant.ReadTx(lent, func(tx *db.ReadTx) error {
			if runs++; runs == 1 {
				cluster.Async.Ask("SELECT coalesce(bool_and(pg_terminate_backend(pid)), false)::text FROM pg_stat_activity WHERE state = 'idle in transaction'")
			}
			_, err := tx.Q().GetLastSeq(lent)
			return err
		})
		if err != nil || runs != 2 || db.Lent(lent) {
			t.Errorf("%d runs, lent afterwards: %t, %v", runs, db.Lent(lent), err)
		}
		broken := errors.New("conflict")
		runs = 0
		err = tenant.ReadTx(lag(db.Lag{}), func(*db.ReadTx) error { runs++; return broken })
		if runs != 2 || !errors.Is(err, broken) {
			t.Errorf("an error of both: %d runs, %v", runs, err)
		}
		if _, err := tenant.Q().GetActorStatus(lag(db.Lag{}), "did:plc:nobody"); !db.IsNoRows(err) {
			t.Error("no such row anywhere:", err)
		}
	})

	t.Run("paused", func(t *testing.T) {
		cluster.Async.PauseReplay(true)
		want := take()
		cluster.Eventually("a replica that does not replay is out of use", func() bool { _, ok := d.Lagging(ctx, schema, db.Lag{}); return !ok })
		if got := next(ctx); got != want {
			t.Errorf("%d, want %d", got, want)
		}
		cluster.Eventually("the log says so", func() bool { return log.count("a replica is not used") > 0 })
		if s := replicaOf(t, d, "/trailing/"); s.Usable || s.Behind == 0 || !strings.Contains(s.Why, "behind") {
			t.Errorf("%+v", s)
		}
		cluster.Async.PauseReplay(false)
		if got := next(lag(db.Lag{})); got != want {
			t.Errorf("back in use: %d, want %d", got, want)
		}
	})

	t.Run("promoted", func(t *testing.T) {
		lent := lag(db.Lag{})
		next(lent) // on a connection that is there when it happens
		cluster.Async.Promote()
		want := take()
		if got := next(lent); got != want || db.Lent(lent) {
			t.Errorf("a server that was promoted is read as a replica: %d, want %d", got, want)
		}
		cluster.Eventually("it is out of use", func() bool { return strings.Contains(replicaOf(t, d, "/trailing/").Why, "promoted") })
		if _, ok := d.Lagging(ctx, schema, db.Lag{}); ok {
			t.Error("it is used")
		}
	})
}

// TestReplicaURL: a replica is one server.
func TestReplicaURL(t *testing.T) {
	url := dbtest.URL(t)
	_, err := db.Open(t.Context(), db.Config{URL: url, Replicas: []db.Replica{{URL: "postgres://u:secret@h1,h2/x"}}})
	if !errors.Is(err, db.ErrReplica) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	d := dbtest.OpenConfig(t, db.Config{URL: url})
	if ctx, ok := d.Lagging(t.Context(), dbtest.Tenant(t, d), db.Lag{}); ok || db.Lent(ctx) {
		t.Error("a replica out of nothing")
	}
}

// replicaOf is the replica whose description has the text.
func replicaOf(t *testing.T, d *db.DB, where string) db.ReplicaState {
	t.Helper()
	for _, s := range d.Replicas() {
		if strings.Contains(s.Where, where) {
			return s
		}
	}
	t.Fatalf("no replica at %s: %+v", where, d.Replicas())
	return db.ReplicaState{}
}
