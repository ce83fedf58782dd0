package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// replicaHouse is a house on a primary with a replica, whose one account has some records.
type replicaHouse struct {
	*house
	cluster *dbtest.Cluster
	alice   *user
}

func newReplicaHouse(t *testing.T) *replicaHouse {
	t.Helper()
	cluster := dbtest.NewCluster(t)
	if err := dbtest.Open(t, cluster.URL()).MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := newHouseWith(t, houseOptions{url: cluster.URL(), replicas: []db.Replica{{URL: cluster.Async.URL()}}})
	ctx, stop := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { _ = h.db.RunReplicas(ctx) })
	t.Cleanup(func() { stop(); watch.Wait() })
	r := &replicaHouse{h, cluster, h.createAccount(hostA, "alice")}
	for _, key := range []string{"a", "b", "c"} {
		r.alice.create(custom, key, obj{"$type": custom, "text": key}).ok()
	}
	return r
}

// fresh waits until the replica has all that was done.
func (r *replicaHouse) fresh() {
	r.t.Helper()
	r.cluster.Eventually("the replica has everything", func() bool {
		aid := r.aid(r.a, r.alice.did)
		_, ok := r.db.Lagging(r.t.Context(), r.a.Schema, db.Lag{AID: aid})
		return ok
	})
}

func (r *replicaHouse) answered() int64 { return r.db.Replicas()[0].Reads }

// calls are requests to all methods that a replica may answer.
func (r *replicaHouse) calls() map[string][]string {
	cid, _ := r.alice.head()
	return map[string][]string{
		"com.atproto.repo.describeRepo":          {"repo", r.alice.did},
		"com.atproto.repo.getRecord":             {"repo", r.alice.did, "collection", custom, "rkey", "b"},
		"com.atproto.repo.listRecords":           {"repo", r.alice.did, "collection", custom},
		"com.atproto.sync.getBlocks":             {"did", r.alice.did, "cids", cid},
		"com.atproto.sync.getCheckout":           {"did", r.alice.did},
		"com.atproto.sync.getRecord":             {"did", r.alice.did, "collection", custom, "rkey", "b"},
		"com.atproto.sync.getRepo":               {"did", r.alice.did},
		"com.atproto.sync.listBlobs":             {"did", r.alice.did},
		"com.atproto.sync.listRepos":             nil,
		"com.atproto.sync.listReposByCollection": {"collection", custom},
	}
}

// TestReplicaReads: which methods a replica answers, for whom, and that nobody reads what is older than what was written.
func TestReplicaReads(t *testing.T) {
	t.Parallel()
	h := newReplicaHouse(t)
	var declared []string
	for line := range strings.Lines(h.server.Access()) {
		if name, _, _ := strings.Cut(line, " "); strings.Contains(line, "replicas") && !strings.HasPrefix(line, "#") {
			declared = append(declared, name)
		}
	}
	calls := h.calls()
	if want := slices.Sorted(maps.Keys(calls)); !slices.Equal(declared, want) {
		t.Errorf("methods that replicas answer: %q, tried here: %q", declared, want)
	}

	t.Run("whose reads", func(t *testing.T) {
		h.fresh()
		for nsid, kv := range calls {
			var theirs reply
			h.cluster.Eventually(nsid+" is asked of a replica", func() bool {
				before := h.answered()
				theirs = h.get(hostA, nsid, "", kv...).ok()
				return h.answered() > before
			})
			before := h.answered()
			own := h.get(hostA, nsid, bearer(h.alice.access), kv...).ok()
			h.get(hostA, nsid, asAdmin(), kv...).ok()
			if n := h.answered() - before; n != 0 {
				t.Errorf("%s: a replica answered %d reads of somebody who is signed in", nsid, n)
			}
			if string(own.body) != string(theirs.body) {
				t.Errorf("%s: the answers differ", nsid)
			}
		}
	})

	t.Run("a replica that stands still", func(t *testing.T) {
		h.fresh()
		h.cluster.Async.PauseReplay(true)
		// By another process, and by this one: at once, long before the replica counts as old.
		other := repodb.New(dbtest.Open(t, h.url), h.keys, time.Now, slog.New(slog.NewTextHandler(h.log, nil)), repodb.Config{})
		defer other.Close()
		newest := func() {
			t.Helper()
			head, rev := h.alice.head()
			archive := h.get(hostA, "com.atproto.sync.getRepo", "", "did", h.alice.did).ok().body
			if got := h.verify(h.alice, archive); got.CID.String() != head {
				t.Errorf("getRepo gives commit %s, the newest is %s (%s)", got.CID, head, rev)
			}
		}
		block, err := dagcbor.FromJSON([]byte(`{"$type":"`+custom+`"}`), dagcbor.Limits{Type: custom})
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.Write(t.Context(), h.a.Schema, h.aid(h.a, h.alice.did), repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
			return []repo.Write{{Action: repo.ActionCreate, Path: custom + "/elsewhere", Record: block}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		newest()
		h.alice.create(custom, "here", obj{"$type": custom, "text": "here"}).ok()
		newest()
		if list := h.get(hostA, "com.atproto.repo.listRecords", "", "repo", h.alice.did, "collection", custom).ok(); !strings.Contains(string(list.body), "/here\"") {
			t.Error("listRecords lacks what was written here")
		}
		h.get(hostA, "com.atproto.repo.getRecord", "", "repo", h.alice.did, "collection", custom, "rkey", "here").ok()
		h.alice.put(custom, "b", obj{"$type": custom, "text": "newer"}).ok()
		if got := h.get(hostA, "com.atproto.repo.getRecord", "", "repo", h.alice.did, "collection", custom, "rkey", "b").ok(); !strings.Contains(string(got.body), "newer") {
			t.Errorf("getRecord gives %s", got.body)
		}
		h.status(hostA, h.alice.did, true, nil).ok()
		for nsid, kv := range calls {
			if kv == nil || kv[0] == "collection" {
				continue
			}
			if r := h.get(hostA, nsid, "", kv...); r.status != 400 {
				t.Errorf("%s of an account that is taken down: %d", nsid, r.status)
			}
		}
		if list := h.get(hostA, "com.atproto.sync.listRepos", "").ok(); !strings.Contains(string(list.body), "takendown") {
			t.Errorf("listRepos: %s", list.body)
		}
		h.status(hostA, h.alice.did, false, nil).ok()
		h.cluster.Async.PauseReplay(false)
	})

	t.Run("killed under load", func(t *testing.T) {
		h.fresh()
		var done, after atomic.Int64
		var clients sync.WaitGroup
		killed := make(chan struct{})
		for nsid, kv := range h.calls() {
			clients.Go(func() {
				for after.Load() < 100 {
					r, err := h.try("GET", hostA, "/xrpc/"+nsid+params(kv...), nil)
					if err != nil || r.status != 200 {
						t.Errorf("%s: %v %d %s", nsid, err, r.status, r.body)
						return
					}
					done.Add(1)
					select {
					case <-killed:
						after.Add(1)
					default:
					}
				}
			})
		}
		before := h.answered()
		h.cluster.Eventually("it answers under load", func() bool { return h.answered() > before+50 })
		h.cluster.Async.Kill()
		close(killed)
		clients.Wait()
		h.cluster.Eventually("it is out of use", func() bool { return !h.db.Replicas()[0].Usable })
		t.Logf("%d reads, none failed; the replica failed %d, and the primary answered", done.Load(), h.db.Replicas()[0].Retried)
	})
	h.check()
}

// TestReplicaConflicts: where a replica's replay waits for no read, what it cancels is answered by the primary, and nobody who
// asks learns of it.
func TestReplicaConflicts(t *testing.T) {
	t.Parallel()
	h := newReplicaHouse(t)
	h.cluster.Async.Configure("max_standby_streaming_delay", "0")
	store := repodb.New(h.db, h.keys, time.Now, slog.New(slog.NewTextHandler(h.log, nil)), repodb.Config{})
	defer store.Close()
	aid := h.aid(h.a, h.alice.did)
	for i := range 15 {
		_, err := store.Write(t.Context(), h.a.Schema, aid, repodb.Options{}, func(*repodb.View) (w []repo.Write, err error) {
			for n := range 100 {
				block, err := dagcbor.FromJSON(fmt.Appendf(nil, `{"$type":%q,"text":"%0900d"}`, custom, n), dagcbor.Limits{Type: custom})
				if err != nil {
					return nil, err
				}
				w = append(w, repo.Write{Action: repo.ActionCreate, Path: fmt.Sprintf("%s/n%d-%d", custom, i, n), Record: block})
			}
			return w, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	h.fresh()
	// Rows that nobody needs any more, and vacuum, which takes them away: on the primary at once, on the replica as soon as it
	// is replayed, whoever reads them.
	vacuums, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		conn, err := pgx.Connect(vacuums, h.cluster.Primary.URL())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background())
		for {
			for _, table := range []string{"actor", "record", "mst_node"} {
				table = h.a.Schema.String() + "." + table
				set := map[bool]string{true: "app_epoch = app_epoch", false: "rev = rev"}[strings.HasSuffix(table, "actor")]
				for _, sql := range []string{"UPDATE " + table + " SET " + set, "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) " + table} {
					if _, err := conn.Exec(vacuums, sql); vacuums.Err() != nil {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			}
		}
	})
	defer running.Wait()
	defer stop()
	conflicts := func() string {
		return h.cluster.Async.Ask("SELECT sum(confl_snapshot + confl_lock + confl_bufferpin)::text FROM pg_stat_database_conflicts")
	}
	head, _ := h.alice.head()
	calls := h.calls()
	h.cluster.Eventually("reads are cancelled by replay", func() bool {
		for nsid, kv := range calls {
			got := h.get(hostA, nsid, "", kv...).ok()
			if nsid == "com.atproto.sync.getRepo" {
				if root := h.verify(h.alice, got.body); root.CID.String() != head {
					t.Errorf("getRepo gives commit %s, not %s", root.CID, head)
				}
			}
		}
		return h.db.Replicas()[0].Retried >= 5 && conflicts() >= "1"
	})
	t.Logf("%s reads were cancelled, %d asked again of the primary, %d answered by the replica", conflicts(), h.db.Replicas()[0].Retried, h.answered())
}
