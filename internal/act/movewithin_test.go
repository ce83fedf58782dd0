package act_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
)

// A tenant moves between the workers of a Citus cluster while two processes write to it, one of which knows of nothing. No
// write is refused, none that was acknowledged is lost, and a subscriber gets every event once.
func TestMoveWithinCitus(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := newTown(t, "", 4)
	w.fill(50)
	from := w.tenant.NodeID
	to := 5 - from // the workers are 2 and 3
	name := fmt.Sprintf("worker%d", to-1)

	d, r, _ := w.process()
	acts, jobs := runner(d, r, nil)
	stopSeen := w.seen()
	_, _, stale := w.process()
	stop := w.writers(w.parts.Repos, stale)
	spec, err := acts.StartMove(t.Context(), w.tenant, act.Operator{}, name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	j, err := jobs.Do(t.Context(), spec, nil)
	if err != nil || j.State != job.Done {
		t.Fatalf("%+v: %v", j, err)
	}
	t.Logf("%s", j.Result)
	before := w.n.Load()
	for w.n.Load() < before+20 { // they go on in the new place
		time.Sleep(time.Millisecond)
	}
	for _, err := range stop() {
		t.Error("a write was refused:", err)
	}
	w.prove(to)
	last, err := w.d.Tenant(w.tenant.Schema.On(to)).Q().GetLastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, seq := range stopSeen(last) {
		if seq != int64(i)+1 {
			t.Fatalf("event %d has number %d", i+1, seq)
		}
	}
}
