package repodb

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
)

// TestNotReplicated: with a synchronous standby that does not answer, nothing is acknowledged, however the wait for it
// ends: what was committed on the primary alone can be read back there, and is gone with it.
func TestNotReplicated(t *testing.T) {
	cluster := dbtest.NewCluster(t)
	d := dbtest.Open(t, cluster.URL())
	if err := d.MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	schema, keys := dbtest.Tenant(t, d), newKeys(t)
	short := newStore(t, d, keys, Config{CommitTime: time.Second, ReadBack: time.Second})
	patient := newStore(t, d, keys, Config{CommitTime: time.Minute, ReadBack: time.Second})
	acknowledged := map[string]int64{} // path → account
	write := func(s *Store, aid int64, w repo.Write) error {
		_, err := s.Write(t.Context(), schema, aid, Options{}, writes(w))
		if err == nil {
			acknowledged[w.Path] = aid
		}
		return err
	}
	// An account for each way, since the lost commit of one stands in the way of the next.
	var aids []int64
	for range 4 {
		aid, _ := newRepo(t, d, keys, schema)
		aids = append(aids, aid)
	}
	cluster.WaitForSync(true)
	for _, aid := range aids {
		if err := write(short, aid, create("app.bsky.feed.post/before", post("before"))); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Sync.CutOff()

	refused := func(how string, err error) {
		t.Helper()
		if !errors.Is(err, db.ErrUnknownOutcome) {
			t.Errorf("%s: %v", how, err)
		}
	}
	refused("the wait timed out", write(short, aids[0], create("app.bsky.feed.post/timeout", post("x"))))
	refused("the same again, which is there already", write(short, aids[0], update("app.bsky.feed.post/timeout", post("x"))))
	waiting := func(n string) {
		t.Helper()
		cluster.Eventually(n+" commits wait for their standby", func() bool {
			return cluster.Primary.Ask("SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == n
		})
	}
	for how, end := range map[string]string{"canceled": "pg_cancel_backend", "terminated": "pg_terminate_backend"} {
		aid := aids[1]
		if how == "terminated" {
			aid = aids[2]
		}
		waiting("0") // what was given up before has ended
		done := make(chan error, 1)
		go func() { done <- write(patient, aid, create("app.bsky.feed.post/"+how, post(how))) }()
		waiting("1")
		cluster.Primary.Ask("SELECT coalesce(bool_and(" + end + "(pid)), false)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		refused("the wait was "+how, <-done)
	}
	if n := cluster.Primary.Ask("SELECT count(*)::text FROM " + schema.String() + ".record"); n != "7" {
		t.Errorf("%s records on the primary, want all 7: the test shows nothing", n)
	}

	// The standby is back in time: what was in doubt is acknowledged.
	waiting("0")
	done := make(chan error, 1)
	go func() { done <- write(patient, aids[3], create("app.bsky.feed.post/late", post("late"))) }()
	waiting("1")
	cluster.Primary.Kill()
	cluster.Sync.Promote()
	if err := <-done; err != nil {
		t.Error("after the failover:", err)
	}
	for path, aid := range acknowledged {
		if _, _, err := short.GetRecord(t.Context(), schema, fmt.Sprintf("did:plc:%024d", aid), path); err != nil {
			t.Errorf("acknowledged and lost: %s of %d: %v", path, aid, err)
		}
	}
	for _, aid := range aids {
		if err := write(short, aid, create("app.bsky.feed.post/after", post("after"))); err != nil {
			t.Error(err)
		}
	}
}
