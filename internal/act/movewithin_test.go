package act_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// onCitus is a town whose tenant is on a worker of a Citus cluster.
func onCitus(t *testing.T, records int) *town {
	w := newTown(t, "", 4)
	w.fill(records)
	return w
}

// other is the worker that a tenant is not on: the workers are the nodes 2 and 3.
func other(node int32) (to int32, name string) {
	to = 5 - node
	return to, fmt.Sprintf("worker%d", to-1)
}

// moves moves the town's tenant to the other worker, in a process of its own, and proves it there.
func (w *town) moves(stop func() []error) {
	w.t.Helper()
	d, r, _ := w.process()
	acts, jobs := runner(d, r, nil)
	now := w.now2(r)
	to, name := other(now.NodeID)
	spec, err := acts.StartMove(w.t.Context(), now, act.Operator{}, name, time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	j, err := jobs.Do(w.t.Context(), spec, nil)
	if err != nil || j.State != job.Done {
		w.t.Fatalf("%+v: %v", j, err)
	}
	w.t.Logf("%s", j.Result)
	if stop != nil {
		before := w.n.Load()
		for w.n.Load() < before+20 { // they go on in the new place
			time.Sleep(time.Millisecond)
		}
		for _, err := range stop() {
			w.t.Error("a write was refused:", err)
		}
	}
	w.prove(to)
}

// What a tenant has is on the new worker after a move, to the row, and nowhere else.
func TestMoveWithinCitusQuiet(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 50)
	before := w.rows(w.tenant.NodeID)
	w.moves(nil)
	to, _ := other(w.tenant.NodeID)
	if diff := cmp.Diff(before, w.rows(to)); diff != "" {
		t.Error("the rows differ:", diff)
	}
}

// rows are what the tables of repositories have in the shards that lie on a worker, as the worker itself sees them.
func (w *town) rows(node int32) map[string]string {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), dbtest.Where(w.url, w.tenant.Schema.On(node)))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	out := map[string]string{}
	for _, table := range []string{"actor", "record", "mst_node", "repo_event", "stream_head"} {
		var shard string
		err := conn.QueryRow(w.t.Context(), `SELECT format('%I.%I', $1::text, $2::text || '_' || s.shardid) FROM pg_dist_shard s
			JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_local_group g USING (groupid) WHERE s.logicalrelid = format('%I.%I', $1::text, $2::text)::regclass`,
			w.tenant.Schema.String(), table).Scan(&shard)
		if err != nil {
			w.t.Fatalf("%s is not on node %d: %v", table, node, err)
		}
		var sum string
		if err := conn.QueryRow(w.t.Context(), "SELECT count(*) || ' ' || coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM "+shard+" x").Scan(&sum); err != nil {
			w.t.Fatal(err)
		}
		out[table] = sum
	}
	return out
}

// A tenant moves between the workers of a Citus cluster while two processes write to it, one of which knows of nothing. No
// write is refused, none that was acknowledged is lost, and a subscriber gets every event once.
func TestMoveWithinCitus(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 50)
	stopSeen := w.seen()
	for range 2 { // there and back
		_, _, stale := w.process()
		w.moves(w.writers(w.parts.Repos, stale))
	}
	last, err := w.d.Tenant(w.tenant.Schema).Q().GetLastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, seq := range stopSeen(last) {
		if seq != int64(i)+1 {
			t.Fatalf("event %d has number %d", i+1, seq)
		}
	}
}

// What the move says of how long writers waited has in it that Citus waited for one who wrote.
func TestMoveWithinCitusPause(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 10)
	d, r, _ := w.process()
	acts, jobs := runner(d, r, nil)
	from := dbtest.Where(w.url, w.tenant.Schema)
	conn := dial(t, from)
	defer closed(t, conn)
	for _, sql := range []string{"BEGIN", fmt.Sprintf("SELECT locus_server.here('%s', true)", w.tenant.Schema)} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	_, name := other(w.tenant.NodeID)
	spec, err := acts.StartMove(t.Context(), w.tenant, act.Operator{}, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	go func() {
		for ended := t.Context().Done(); ; {
			var waits bool
			err := conn.QueryRow(t.Context(), citusStops["waiting for writers"].reached).Scan(&waits)
			if err == nil && waits {
				time.Sleep(2 * time.Second)
				_, err = conn.Exec(t.Context(), "COMMIT")
				released <- err
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	j, err := jobs.Do(t.Context(), spec, nil)
	var got act.Moved
	if err != nil || j.Into(&got) != nil {
		t.Fatalf("%+v: %v", j, err)
	}
	if err := <-released; err != nil || got.PauseMillis < 1000 {
		t.Errorf("it waited for 2 s, and says %d ms; %v", got.PauseMillis, err)
	}
}
