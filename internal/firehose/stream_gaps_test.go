package firehose_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
)

func appendEvents(t testing.TB, tenant *db.Tenant, events ...firehose.Event) (last int64) {
	t.Helper()
	err := tenant.Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
		last, err = firehose.Append(t.Context(), q, events...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// TestDeleteEventsOf: of a deleted account only the last event is left, on all nodes, in the table and in memory, and
// the numbers of the others are no hole.
func TestDeleteEventsOf(t *testing.T) {
	r := newRig(t, firehose.Config{}, time.Now)
	// Somebody listens, so that the ring has everything.
	live, err := r.a.tails.Subscribe(t.Context(), r.schema, firehose.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	before := r.last(t)
	rnd := random(t, 13)
	for range 40 {
		if err := r.a.write(t.Context(), rnd, r.schema, r.aids, r.book); err != nil {
			t.Fatal(err)
		}
	}
	gone, tenant := r.aids[0], r.a.db.Tenant(r.schema)
	last := appendEvents(t, tenant, firehose.NewAccount(gone, fmt.Sprintf("did:plc:%024d", gone), false, firehose.StatusDeleted, time.Now()))
	for n := int64(3); n == 3; {
		err := tenant.Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
			n, err = firehose.DeleteEventsOf(t.Context(), q, gone, 3)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.a.hub.Notify(r.schema, last)
	for seq := int64(0); seq < last; {
		batch, err := live.Next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		seq = batch[len(batch)-1].Seq
	}
	for _, n := range []*node{r.a, r.b} {
		for _, cursor := range []int64{0, before} {
			for _, s := range n.follow(t, r.schema, cursor, 0, func() int64 { return last }) {
				f, err := firehose.Decode(s.frame)
				if err != nil {
					t.Fatal(err)
				}
				if f.DID == fmt.Sprintf("did:plc:%024d", gone) && s.seq != last {
					t.Errorf("event %d of the deleted account is still given out at cursor %d", s.seq, cursor)
				}
			}
		}
		if n.log.has("CORRUPTION") {
			t.Error("what was deleted was taken for a hole")
		}
	}
	if holes, err := tenant.Q().CountSeqHoles(t.Context()); err != nil || holes != 0 {
		t.Error("holes:", holes, err)
	}
}

// TestHole: a number without an event is reported and passed only after a while.
func TestHole(t *testing.T) {
	d := dbtest.New(t)
	schema := dbtest.Tenant(t, d)
	tenant := d.Tenant(schema)
	n := newNode(t, d, newKeys(t), time.Now, firehose.Config{HoleWait: 300 * time.Millisecond})
	sub, err := n.tails.Subscribe(t.Context(), schema, firehose.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	took := int64(0)
	err = tenant.Tx(t.Context(), func(q *tenantdb.Queries) error {
		h, err := q.LockNextSeqs(t.Context(), tenantdb.LockNextSeqsParams{N: 2, NowUs: 1})
		took = h.LastSeq
		return err
	})
	if err != nil || took != 2 {
		t.Fatal(took, err)
	}
	appendEvents(t, tenant, firehose.NewIdentity(1, did, "a.test", time.Now()))
	began := time.Now()
	batch, err := sub.Next(t.Context(), nil)
	if err != nil || batch[0].Seq != 3 {
		t.Fatal(batch, err)
	}
	if time.Since(began) < 250*time.Millisecond || !n.log.has("CORRUPTION") || !n.log.has("from=1 to=2") {
		t.Error("passed silently, or at once")
	}
}

// TestWentBack: the stream of a database that goes back on the same timeline, as a disk that is put back to an earlier
// state does, and gives a number out again, goes on behind all that was seen. What was lost is told.
func TestWentBack(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	schema := dbtest.Tenant(t, d)
	tenant := d.Tenant(schema)
	identity := func(aid int64) firehose.Event { return firehose.NewIdentity(aid, did, "a.test", time.Now()) }
	appendEvents(t, tenant, identity(1))
	told := make(chan firehose.Lost, 10)
	n := newNode(t, d, newKeys(t), time.Now, firehose.Config{StepBack: func(_ context.Context, l firehose.Lost) error {
		told <- l
		return nil
	}})
	sub, err := n.tails.Subscribe(t.Context(), schema, firehose.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	appendEvents(t, tenant, identity(2), identity(3))
	for seq := int64(1); seq < 3; {
		batch, err := sub.Next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		seq = batch[len(batch)-1].Seq
	}
	// Back to number 1, and on again with another 2, 3 and 4, before anybody looks.
	execSQL(t, url, strings.ReplaceAll(`BEGIN; DELETE FROM s.repo_event WHERE seq > 1;
		INSERT INTO s.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
			SELECT seq + n, 3 + n, kind, sequenced_at, rev, seq_off, payload, time_us + 7 * n FROM s.repo_event, generate_series(1, 3) n WHERE seq = 1;
		UPDATE s.stream_head SET last_seq = 4; COMMIT`, "s.", schema.String()+"."))
	lost := <-told
	if lost.From != 2 || lost.To != 3 || lost.Events != 2 || !lost.Complete || lost.Behind < firehose.JumpBy {
		t.Errorf("%+v", lost)
	}
	var aids []int64
	for _, a := range lost.Actors {
		aids = append(aids, a.AID)
	}
	// Those of the lost events, and those whose events have numbers that consumers may know already.
	if !slices.Equal(aids, []int64{2, 3, 4, 5, 6}) {
		t.Errorf("told anew: %v", aids)
	}
	appendEvents(t, tenant, identity(7))
	for seq := int64(3); seq <= 4; { // 4 was given out before the step back was seen
		batch, err := sub.Next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if seq = batch[len(batch)-1].Seq; seq != 4 && seq != lost.Behind+1 {
			t.Errorf("went on with %d, want %d", seq, lost.Behind+1)
		}
	}
	// A newcomer with a number of the lost part, and one from before it: no ghosts, and the first is told.
	for cursor, outdated := range map[int64]bool{1: false, lost.Behind - 10: true} {
		sub, err := n.tails.Subscribe(t.Context(), schema, firehose.From{Seq: cursor, HasSeq: true})
		if err != nil {
			t.Fatal(err)
		}
		if sub.Outdated != outdated {
			t.Errorf("cursor %d: outdated %v", cursor, sub.Outdated)
		}
		batch, err := sub.Next(t.Context(), nil)
		if err != nil || batch[0].AID < 4 {
			t.Errorf("cursor %d: %v %v", cursor, batch, err)
		}
		sub.Close()
	}
	if !n.log.has("EVENTS LOST") {
		t.Error("nobody is told")
	}
}
