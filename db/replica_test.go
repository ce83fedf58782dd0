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
		URL: cluster.URL(), ReplicaStaleness: 3 * time.Second, Log: slog.New(slog.NewTextHandler(log, nil)),
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
	var lent context.Context
	cluster.Eventually("a replica answers for a row and for rows", func() bool { // or the primary, where it takes too long
		lent = lag(db.Lag{})
		if got := next(lent); got < want {
			t.Errorf("a fresh replica says %d, want %d", got, want)
		}
		one := reads()
		events, err := tenant.Q().ListEvents(lent, tenantdb.ListEventsParams{MaxRows: 10, MaxBytes: 1000})
		if err != nil || len(events) != 0 {
			t.Errorf("rows from a replica: %d, %v", len(events), err)
		}
		return one > 0 && reads() == one+1
	})
	for where, why := range map[string]string{"/primary/": "no standby", "template1": "another database"} {
		cluster.Eventually(where+": "+why, func() bool { s := replicaOf(t, d, where); return !s.Usable && strings.Contains(s.Why, why) })
	}
	if found, err := d.LookAtReplicas(ctx, db.HomeNode, 10*time.Second); err != nil || len(found) != 3 || !found[0].Usable || found[0].Age < 0 || found[1].Usable {
		t.Errorf("looked at: %+v, %v", found, err)
	}

	// What this process was told of is not read where it may be missing.
	cluster.Eventually("another account is read", func() bool {
		d.Changed(schema, 7)
		if _, ok := d.Lagging(ctx, schema, db.Lag{AID: 7}); ok || d.Covers(lent, 7) || !d.Covers(lent, 8) {
			t.Error("a change just made")
		}
		_, other := d.Lagging(ctx, schema, db.Lag{AID: 8})
		return other
	})
	lag(db.Lag{AID: 7})
	d.Changed(schema, 0)
	if _, ok := d.Lagging(ctx, schema, db.Lag{AID: 8}); ok {
		t.Error("a change of the tenant just made")
	}

	t.Run("a read that the replica ends", func(t *testing.T) {
		cluster.Eventually("it runs on the replica, and again on the primary", func() bool {
			lent, runs := lag(db.Lag{}), 0
			err := tenant.ReadTx(lent, func(tx *db.ReadTx) error {
				if runs++; runs == 1 {
					cluster.Async.Ask("SELECT coalesce(bool_and(pg_terminate_backend(pid)), false)::text FROM pg_stat_activity WHERE state = 'idle in transaction'")
				}
				_, err := tx.Q().GetLastSeq(lent)
				return err
			})
			if err != nil || db.Lent(lent) {
				t.Errorf("lent afterwards: %t, %v", db.Lent(lent), err)
			}
			return runs == 2
		})
		broken := errors.New("conflict")
		cluster.Eventually("an error of both", func() bool {
			runs := 0
			if err := tenant.ReadTx(lag(db.Lag{}), func(*db.ReadTx) error { runs++; return broken }); !errors.Is(err, broken) {
				t.Error(err)
			}
			return runs == 2
		})
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
		cluster.Eventually("it is known to be behind", func() bool {
			s := replicaOf(t, d, "/trailing/")
			return !s.Usable && s.Behind > 0 && strings.Contains(s.Why, "behind")
		})
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

// TestReplicaURL: a replica is one server, with nothing before it.
func TestReplicaURL(t *testing.T) {
	url := dbtest.URL(t)
	for of, why := range map[string]string{"postgres://u:secret@h1,h2/x": "several hosts", "postgres://u:secret@h1/x?pgbouncer=true": "name the standby itself"} {
		_, err := db.Open(t.Context(), db.Config{URL: url, Replicas: []db.Replica{{URL: of}}})
		if !errors.Is(err, db.ErrReplica) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), why) {
			t.Error(err)
		}
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
