package firehose_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
)

// rig is some accounts of one tenant, and two nodes.
type rig struct {
	schema db.Schema
	aids   []int64
	a, b   *node
	book   *book
}

// smallRings makes subscribers fall behind, page and catch up all the time.
var smallRings = firehose.Config{RingEvents: 60, PageEvents: 7, Linger: 20 * time.Millisecond}

func newRig(t testing.TB, cfg firehose.Config, clockOfB func() time.Time) *rig {
	t.Helper()
	url, keys := dbtest.URL(t), newKeys(t)
	d := dbtest.Open(t, url)
	r := &rig{schema: dbtest.Tenant(t, d), book: newBook()}
	for range 4 {
		r.aids = append(r.aids, newRepo(t, d, keys, r.schema))
	}
	r.a = newNode(t, d, keys, time.Now, cfg)
	r.b = newNode(t, dbtest.Open(t, url), keys, clockOfB, cfg)
	return r
}

func (r *rig) last(t testing.TB) int64 {
	seq, err := r.a.db.Tenant(r.schema).Q().GetLastSeq(context.Background())
	if err != nil {
		t.Error(err)
	}
	return seq
}

// TestTwoNodes: two nodes write to the same repositories, the clock of one stands an hour ahead and then goes back
// two. What subscribers see is the same on both, also if they reconnect every few events.
func TestTwoNodes(t *testing.T) {
	start := time.Now()
	skewed := func() time.Time {
		if time.Since(start) > 700*time.Millisecond {
			return time.Now().Add(-time.Hour)
		}
		return time.Now().Add(time.Hour)
	}
	r := newRig(t, firehose.Config{}, skewed)
	stop, end := make(chan struct{}), atomic.Int64{}
	var writers, readers sync.WaitGroup
	r.a.load(t, &writers, stop, r.schema, r.aids, r.book, 4, 1)
	r.b.load(t, &writers, stop, r.schema, r.aids, r.book, 4, 2)
	got := make([][]seen, 6)
	for i := range got {
		n := []*node{r.a, r.b}[i%2]
		readers.Go(func() { got[i] = n.follow(t, r.schema, 0, []int{0, 0, 3, 3, 11, 11}[i], end.Load) })
	}
	time.Sleep(1500 * time.Millisecond)
	close(stop)
	writers.Wait()
	end.Store(r.last(t))
	readers.Wait()
	all := audit(t, r.a, r.schema, r.book)
	for i := range got {
		same(t, fmt.Sprint("subscriber ", i), got[i], all, 0)
	}
}

// TestHandover: subscribers at random cursors, while much is written and the ring holds little, get exactly what is
// behind their cursor.
func TestHandover(t *testing.T) {
	r := newRig(t, smallRings, time.Now)
	rnd := random(t, 7)
	stop, end := make(chan struct{}), atomic.Int64{}
	var writers, readers sync.WaitGroup
	r.a.load(t, &writers, stop, r.schema, r.aids, r.book, 4, 3)
	type subscriber struct {
		cursor int64
		got    []seen
	}
	var subscribers []*subscriber
	for i := range 60 {
		s := &subscriber{cursor: rnd.Int64N(r.last(t) + 1)}
		subscribers = append(subscribers, s)
		n := []*node{r.a, r.b}[i%2]
		readers.Go(func() { s.got = n.follow(t, r.schema, s.cursor, 0, end.Load) })
		time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
	}
	close(stop)
	writers.Wait()
	end.Store(r.last(t))
	readers.Wait()
	all := audit(t, r.a, r.schema, r.book)
	for i, s := range subscribers {
		same(t, fmt.Sprintf("subscriber %d at %d", i, s.cursor), s.got, all, s.cursor)
	}
}

// TestNoHint: events of another node arrive within a second without any hint.
func TestNoHint(t *testing.T) {
	r := newRig(t, firehose.Config{}, time.Now)
	sub, err := r.b.tails.Subscribe(t.Context(), r.schema, firehose.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	rnd, fastest := random(t, 9), time.Hour
	for range 20 {
		if err := r.a.write(t.Context(), rnd, r.schema, r.aids, r.book); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := sub.Next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		fastest = min(fastest, time.Since(began)) // the others may have waited for the machine
	}
	if fastest > time.Second {
		t.Error("too late:", fastest)
	}
}

// TestSlowSubscriber: who does not read is told so when it does, and nobody else feels it.
func TestSlowSubscriber(t *testing.T) {
	r := newRig(t, firehose.Config{RingEvents: 100}, time.Now)
	slow, err := r.a.tails.Subscribe(t.Context(), r.schema, firehose.From{})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	rnd := random(t, 11)
	write := func() {
		if err := r.a.write(t.Context(), rnd, r.schema, r.aids, r.book); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if _, err := slow.Next(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	// It was at the end once: the zero wait makes it live.
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := slow.Next(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	end, cursor := atomic.Int64{}, r.last(t)
	var got []seen
	var quick sync.WaitGroup
	quick.Go(func() { got = r.a.follow(t, r.schema, cursor, 0, end.Load) })
	for range 150 {
		write()
	}
	end.Store(r.last(t))
	quick.Wait()
	same(t, "the quick one", got, stored(t, r.a.db, r.schema), cursor)
	if _, err := slow.Next(t.Context(), nil); !errors.Is(err, firehose.ErrTooSlow) {
		t.Error("the slow one:", err)
	}
}

// TestNobodyListens: a tail ends when its last subscriber has left.
func TestNobodyListens(t *testing.T) {
	r := newRig(t, smallRings, time.Now)
	for range 3 {
		sub, err := r.a.tails.Subscribe(t.Context(), r.schema, firehose.From{})
		if err != nil {
			t.Fatal(err)
		}
		if n := r.a.tails.Followed(); n != 1 {
			t.Error("followed:", n)
		}
		sub.Close()
		for began := time.Now(); r.a.tails.Followed() > 0; time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatal("still followed")
			}
		}
	}
}

// begins tries where a subscription begins; 0: with what comes. want is what should come of it.
func begins(t *testing.T, n *node, schema db.Schema, from firehose.From, want int64) (first int64, outdated bool, err error) {
	t.Helper()
	sub, err := n.tails.Subscribe(t.Context(), schema, from)
	if err != nil {
		return 0, false, err
	}
	defer sub.Close()
	wait := time.Minute
	if want == 0 {
		wait = 60 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	batch, err := sub.Next(ctx, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, sub.Outdated, nil
	}
	if err != nil {
		return 0, sub.Outdated, err
	}
	return batch[0].Seq, sub.Outdated, nil
}

// TestCursors holds the rules of cursors, also where retention has cut and where numbers were passed over.
func TestCursors(t *testing.T) {
	d := dbtest.New(t)
	schema := dbtest.Tenant(t, d)
	tenant := d.Tenant(schema)
	// Ten events, an hour apart, the newest now.
	now := time.Now()
	for i := range 10 {
		at := now.Add(time.Duration(i-9) * time.Hour)
		appendEvents(t, tenant, firehose.NewIdentity(int64(i+1), did, "a.test", at))
	}
	n := newNode(t, d, newKeys(t), time.Now, firehose.Config{})
	try := func(what string, from firehose.From, first int64, outdated bool, want error) {
		t.Helper()
		got, out, err := begins(t, n, schema, from, first)
		if got != first || out != outdated || !errors.Is(err, want) {
			t.Errorf("%s: begins with %d, outdated %v, %v; want %d, %v, %v", what, got, out, err, first, outdated, want)
		}
	}
	at := func(seq int64) firehose.From { return firehose.From{Seq: seq, HasSeq: true} }
	in := func(f firehose.From, hours float64) firehose.From {
		f.Window = time.Duration(hours * float64(time.Hour))
		return f
	}
	us := func(seq int64) firehose.From {
		e, err := tenant.Q().GetEventAfter(t.Context(), seq-1)
		if err != nil {
			t.Fatal(err)
		}
		return firehose.From{TimeUS: e.TimeUs, HasTime: true}
	}
	try("no cursor", firehose.From{}, 0, false, nil)
	try("newest", at(10), 0, false, nil)
	try("future", at(11), 0, false, firehose.ErrFutureCursor)
	try("inside", at(4), 5, false, nil)
	try("zero", at(0), 1, false, nil)
	try("below zero", at(-3), 1, false, nil)
	try("zero in a window", in(at(0), 3.5), 7, false, nil)
	try("before the window", in(at(2), 3.5), 7, true, nil)
	try("just before the window", in(at(5), 3.5), 7, true, nil)
	try("at the edge of the window", in(at(6), 3.5), 7, false, nil)
	try("newest, before the window", in(at(10), 0.00001), 0, false, nil)
	try("a time", us(4), 4, false, nil)
	try("a time between", firehose.From{TimeUS: us(4).TimeUS + 201, HasTime: true}, 5, false, nil)
	try("a time long ago", firehose.From{TimeUS: 5, HasTime: true}, 1, false, nil)
	try("a time before the window", in(us(2), 3.5), 7, false, nil)
	try("a time in the future", firehose.From{TimeUS: now.Add(time.Hour).UnixMicro(), HasTime: true}, 0, false, nil)

	if dropped, err := firehose.Drop(t.Context(), tenant, now.Add(-5*time.Hour-time.Minute)); err != nil || dropped != 4 {
		t.Error("dropped", dropped, err)
	}
	try("cut off", at(2), 5, true, nil)
	try("cut off, at the edge", at(4), 5, false, nil)
	try("zero, cut off", at(0), 5, false, nil)
	var last int64
	err := tenant.Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
		last, err = firehose.Jump(t.Context(), q, 1_000_000, now)
		return err
	})
	if err != nil || last != 1_000_010 {
		t.Fatal("jump to", last, err)
	}
	appendEvents(t, tenant, firehose.NewIdentity(11, did, "a.test", now))
	try("before the jump", at(10), 1_000_011, false, nil)
	try("in the jump", at(500_000), 1_000_011, true, nil)
	try("behind the jump", at(1_000_010), 1_000_011, false, nil)
	try("newest behind the jump", at(1_000_011), 0, false, nil)
	try("future behind the jump", at(1_000_012), 0, false, firehose.ErrFutureCursor)
	if holes, err := tenant.Q().CountSeqHoles(t.Context()); err != nil || holes != 0 {
		t.Error("holes:", holes, err)
	}
	if _, err := firehose.Drop(t.Context(), tenant, now.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if n.log.has("CORRUPTION") {
		t.Error("a jump or a cut was taken for a hole")
	}
	n = newNode(t, d, newKeys(t), time.Now, firehose.Config{}) // the other one has it in memory
	try("all dropped", at(1_000_009), 0, true, nil)
	try("all dropped, zero", at(0), 0, false, nil)
	try("all dropped, newest", at(1_000_011), 0, false, nil)
	try("all dropped, a time", firehose.From{TimeUS: 5, HasTime: true}, 0, false, nil)
	if n.log.has("CORRUPTION") {
		t.Error("a jump or a cut was taken for a hole")
	}
}

// TestManySubscribers: all share one copy of each message.
func TestManySubscribers(t *testing.T) {
	r := newRig(t, firehose.Config{}, time.Now)
	var subs []*firehose.Subscription
	for range 50 {
		sub, err := r.a.tails.Subscribe(t.Context(), r.schema, firehose.From{})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		subs = append(subs, sub)
	}
	if err := r.a.write(t.Context(), rand.New(rand.NewPCG(1, 1)), r.schema, r.aids, r.book); err != nil {
		t.Fatal(err)
	}
	var first *firehose.Item
	for _, sub := range subs {
		batch, err := sub.Next(t.Context(), nil)
		if err != nil || len(batch) != 1 {
			t.Fatal(batch, err)
		}
		if first == nil {
			first = batch[0]
		}
		if batch[0] != first || &batch[0].Wire()[0] != &first.Wire()[0] {
			t.Fatal("a copy of its own")
		}
	}
}
