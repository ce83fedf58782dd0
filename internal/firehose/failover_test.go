package firehose_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
)

// newFailoverRig is two nodes on a cluster, each of which tells accounts anew as the server does.
func newFailoverRig(t *testing.T, cluster *dbtest.Cluster) *rig {
	t.Helper()
	d, keys := dbtest.Open(t, cluster.URL()), newKeys(t)
	if err := d.MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &rig{schema: dbtest.Tenant(t, d), book: newBook()}
	for range 6 {
		r.aids = append(r.aids, newRepo(t, d, keys, r.schema))
	}
	r.a = newTellingNode(t, d, keys)
	r.b = newTellingNode(t, dbtest.Open(t, cluster.URL()), keys)
	return r
}

func newTellingNode(t *testing.T, d *db.DB, keys *keyring.Keyring) *node {
	var acts *act.Acts
	n := newNode(t, d, keys, time.Now, firehose.Config{StepBack: func(ctx context.Context, l firehose.Lost) error { return acts.StepBack(ctx, l) }})
	acts = act.New(act.Parts{DB: d, Keys: keys, Repos: n.repos, Hub: n.hub, Now: time.Now, Log: slog.New(slog.NewTextHandler(n.log, nil))})
	return n
}

// failover writes and reads on both nodes, has the cluster fail over, and goes on until there were writes after it. It
// gives what subscribers of the two nodes got, and what the database has.
func (r *rig) failover(t *testing.T, change func()) (a, b []seen, all []firehose.Stored) {
	t.Helper()
	stop, end := make(chan struct{}), atomic.Int64{}
	var writers, readers sync.WaitGroup
	r.a.load(t, &writers, stop, r.schema, r.aids, r.book, 2, 4)
	r.b.load(t, &writers, stop, r.schema, r.aids, r.book, 2, 5)
	readers.Go(func() { a = r.a.follow(t, r.schema, 0, 0, end.Load) })
	readers.Go(func() { b = r.b.follow(t, r.schema, 0, 37, end.Load) })
	change()
	after := r.book.len()
	for began := time.Now(); r.book.len() < after+50; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatal("nothing is written after the failover")
		}
	}
	close(stop)
	writers.Wait()
	// What tells accounts anew comes by itself: the stream is quiet when nothing has come for a while.
	for last, since := int64(0), time.Now(); time.Since(since) < time.Second; time.Sleep(20 * time.Millisecond) {
		if now, err := r.a.db.Tenant(r.schema).Q().GetLastSeq(t.Context()); err != nil || now != last {
			last, since = now, time.Now()
		}
	}
	all = stored(t, r.a.db, r.schema)
	end.Store(all[len(all)-1].Seq)
	readers.Wait()
	return a, b, all
}

// TestPromotedSync: with a synchronous standby a failover loses nothing that was acknowledged, and subscribers get what
// the database has.
func TestPromotedSync(t *testing.T) {
	cluster := dbtest.NewCluster(t)
	r := newFailoverRig(t, cluster)
	cluster.WaitForSync(true)
	a, b, _ := r.failover(t, func() {
		time.Sleep(700 * time.Millisecond)
		cluster.Primary.Kill()
		cluster.Sync.Promote()
	})
	all := audit(t, r.a, r.schema, r.book)
	same(t, "subscriber of node a", a, all, 0)
	same(t, "subscriber of node b", b, all, 0)
	if r.a.log.has("EVENTS LOST") || r.b.log.has("EVENTS LOST") {
		t.Error("something was taken for lost")
	}
	if !r.a.log.has("new timeline") && !r.b.log.has("new timeline") && all[len(all)-1].Seq < firehose.JumpBy {
		t.Error("the new timeline was not noticed")
	}
}

// TestPromotedAsync: a standby is promoted that lacks events which were sent. No number has two meanings, nobody is
// given a ghost afterwards, and what subscribers got and the database has differ only in accounts that were told anew.
func TestPromotedAsync(t *testing.T) {
	cluster := dbtest.NewCluster(t)
	r := newFailoverRig(t, cluster)
	var had atomic.Int64
	a, b, all := r.failover(t, func() {
		time.Sleep(500 * time.Millisecond)
		cluster.Async.CutOff()
		time.Sleep(700 * time.Millisecond)
		cluster.Primary.Kill()
		last, err := strconv.ParseInt(cluster.Async.Ask("SELECT last_seq::text FROM "+r.schema.String()+".stream_head"), 10, 64)
		if err != nil {
			t.Error(err)
		}
		had.Store(last)
		cluster.Async.Promote()
	})
	lost, ghost := 0, int64(0)
	r.book.mu.Lock()
	table := map[int64]*firehose.Stored{}
	for i := range all {
		table[all[i].Seq] = &all[i]
	}
	for seq, rev := range r.book.revs {
		if e := table[seq]; e != nil && e.Rev != rev {
			t.Errorf("number %d was given out twice", seq)
		} else if e == nil {
			lost, ghost = lost+1, max(ghost, seq)
			if seq <= had.Load() || seq > had.Load()+firehose.JumpBy {
				t.Errorf("acknowledged write %d is gone, which the standby had or was made there", seq)
			}
			delete(r.book.revs, seq)
		}
	}
	r.book.mu.Unlock()
	if lost == 0 {
		t.Fatal("nothing was lost: the test shows nothing")
	}
	audit(t, r.a, r.schema, r.book)
	ghosts := agree(t, "subscriber of node a", a, all)
	ghosts += agree(t, "subscriber of node b", b, all)
	t.Logf("%d acknowledged writes lost with the primary, %d events sent that the database lacks", lost, ghosts)
	if ghosts == 0 {
		t.Error("nothing was sent that is lost: the test shows nothing")
	}
	for _, n := range []*node{r.a, r.b} {
		if !n.log.has("EVENTS LOST") {
			t.Error("the operator is not told")
		}
		end := all[len(all)-1].Seq
		same(t, "a newcomer", n.follow(t, r.schema, 0, 0, func() int64 { return end }), all, 0)
		// A consumer that had stopped at a ghost.
		sub, err := n.tails.Subscribe(t.Context(), r.schema, firehose.From{Seq: ghost, HasSeq: true})
		if err != nil {
			t.Fatal(err)
		}
		if !sub.Outdated {
			t.Error("a cursor of the lost part is not told so")
		}
		sub.Close()
	}
}

// agree compares what a subscriber got with the table. An account of which they have different events must have been
// told anew behind the last of these, with a revision newer than any of them. It counts what the table lacks.
func agree(t *testing.T, who string, got []seen, all []firehose.Stored) (ghosts int) {
	t.Helper()
	frames := map[int64][]byte{}
	differs, newest := map[string]int64{}, map[string]repo.TID{} // of accounts
	note := func(frame []byte) {
		f, err := firehose.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		differs[f.DID], newest[f.DID] = max(differs[f.DID], f.Seq), max(newest[f.DID], f.Rev)
	}
	for _, s := range got {
		frames[s.seq] = s.frame
	}
	synced, revs := map[string]int64{}, map[string]repo.TID{}
	for i := range all {
		e := &all[i]
		if e.Kind == firehose.KindNothing {
			continue
		}
		frame := e.AppendFrame(nil)
		switch have := frames[e.Seq]; {
		case have == nil:
			note(frame)
			t.Errorf("%s did not get event %d", who, e.Seq) // all that is there comes, since no number is given out again
		case !bytes.Equal(have, frame):
			t.Errorf("%s got another event %d", who, e.Seq)
		}
		delete(frames, e.Seq)
		if e.Kind == firehose.KindSync {
			f, err := firehose.Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			synced[f.DID], revs[f.DID] = e.Seq, f.Rev
		}
	}
	for _, frame := range frames {
		note(frame)
	}
	for did, seq := range differs {
		if synced[did] < seq || revs[did] <= newest[did] {
			t.Errorf("%s: %s differs at %d (revision %s), and was told anew at %d (%s)", who, did, seq, newest[did], synced[did], revs[did])
		}
	}
	return len(frames)
}

// TestNewTimeline: a process that remembers nothing, as after an outage of a whole site, passes over numbers because
// the server's timeline is another one, before it answers a cursor. Account keys are passed over, too.
func TestNewTimeline(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	schema := dbtest.Tenant(t, d)
	tenant := d.Tenant(schema)
	identity := func() firehose.Event { return firehose.NewIdentity(1, did, "a.test", time.Now()) }
	appendEvents(t, tenant, identity())
	promote := func() { execSQL(t, url, "UPDATE "+schema.String()+".stream_head SET timeline = '00000000'") }
	promote()
	n := newNode(t, d, newKeys(t), time.Now, firehose.Config{})
	sub, err := n.tails.Subscribe(t.Context(), schema, firehose.From{Seq: 40, HasSeq: true}) // 39 events were lost
	if err != nil || !sub.Outdated {
		t.Fatalf("a cursor of the lost part: %v", err)
	}
	defer sub.Close()
	appendEvents(t, tenant, identity())
	batch, err := sub.Next(t.Context(), nil)
	if err != nil || batch[0].Seq != firehose.JumpBy+2 {
		t.Fatal(batch, err)
	}
	if _, err := n.tails.Subscribe(t.Context(), schema, firehose.From{Seq: firehose.JumpBy + 3, HasSeq: true}); !errors.Is(err, firehose.ErrFutureCursor) {
		t.Error(err)
	}

	// Whoever takes the next number or key does it where nobody looks.
	taken := map[string]func() int64{
		"event": func() int64 { appendEvents(t, tenant, identity()); return 0 },
		"key": func() int64 {
			aid, err := tenant.Q().LockNextAID(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return aid
		},
	}
	for _, what := range []string{"event", "key", "key", "event"} { // two promotions may have nothing but a key between them
		take := taken[what]
		before, err := tenant.Q().GetStreamHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		promote()
		if aid := take(); aid != 0 && aid < before.NextAID+firehose.JumpBy {
			t.Errorf("account key %d behind %d", aid, before.NextAID)
		}
		after, err := tenant.Q().GetStreamHead(t.Context())
		if err != nil || after.LastSeq < before.LastSeq+firehose.JumpBy || after.NextAID < before.NextAID+firehose.JumpBy {
			t.Errorf("%s: %+v after %+v, %v", what, after, before, err)
		}
	}
	appendEvents(t, tenant, identity())
	if holes, err := tenant.Q().CountSeqHoles(t.Context()); err != nil || holes != 0 {
		t.Error("numbers without a row:", holes, err)
	}
	// Numbers were passed over several times by now. The first of them are still told of, from memory or not.
	head, err := tenant.Q().GetLastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < head; {
		batch, err := sub.Next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		at = batch[len(batch)-1].Seq
	}
	for cursor, outdated := range map[int64]bool{1: false, 40: true, firehose.JumpBy + 40: true, head: false} {
		again, err := n.tails.Subscribe(t.Context(), schema, firehose.From{Seq: cursor, HasSeq: true})
		if err != nil {
			t.Fatal(err)
		}
		if again.Outdated != outdated {
			t.Errorf("cursor %d: outdated %v", cursor, again.Outdated)
		}
		again.Close()
	}
	// A repository's commit takes its number in a statement of its own.
	keys := newKeys(t)
	aid := newRepo(t, d, keys, schema)
	w := newNode(t, d, keys, time.Now, firehose.Config{})
	before, err := tenant.Q().GetLastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	promote()
	book := newBook()
	for book.len() == 0 {
		if err := w.write(t.Context(), rand.New(rand.NewPCG(1, 1)), schema, []int64{aid}, book); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range book.revs {
		if seq != before+firehose.JumpBy+1 {
			t.Errorf("commit %d behind %d", seq, before)
		}
	}
	if holes, err := tenant.Q().CountSeqHoles(t.Context()); err != nil || holes != 0 {
		t.Error("numbers without a row:", holes, err)
	}
	if n.log.has("CORRUPTION") || n.log.has("EVENTS LOST") {
		t.Error("a promotion without loss was taken for more")
	}
}

// TestLostWithoutReader: what a process wrote while nobody read the stream through it is told when somebody does.
func TestLostWithoutReader(t *testing.T) {
	url := dbtest.URL(t)
	d, keys := dbtest.Open(t, url), newKeys(t)
	schema := dbtest.Tenant(t, d)
	aid := newRepo(t, d, keys, schema)
	n := newTellingNode(t, d, keys)
	book, rnd := newBook(), random(t, 31)
	for book.len() < 5 {
		if err := n.write(t.Context(), rnd, schema, []int64{aid}, book); err != nil {
			t.Fatal(err)
		}
	}
	// The commits are lost with their numbers, and others were passed over by whoever came first.
	execSQL(t, url, strings.ReplaceAll(`BEGIN; DELETE FROM s.repo_event WHERE seq > 4;
		INSERT INTO s.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us) SELECT 1000004, 0, 0, sequenced_at, 4, 0, '', time_us + 10000000 FROM s.repo_event WHERE seq = 4;
		UPDATE s.stream_head SET last_seq = 1000004, jumped_from = 4, jumped_to = 1000004, last_us = last_us + 10000000; COMMIT`, "s.", schema.String()+"."))
	sub, err := n.tails.Subscribe(t.Context(), schema, firehose.From{Seq: 9, HasSeq: true})
	if err != nil || !sub.Outdated {
		t.Fatal("a cursor of the lost part:", err)
	}
	defer sub.Close()
	for {
		batch, err := sub.Next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if it := batch[len(batch)-1]; it.Kind == firehose.KindSync && it.AID == aid {
			break
		}
	}
	if !n.log.has("from=5 to=9 known=5 all_known=true") {
		t.Error("not told in full")
	}
}
