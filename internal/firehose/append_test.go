package firehose_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
)

const did = "did:plc:abcdefghijklmnopqrstuvwx"

// TestAppend: concurrent transactions, some of which fail, give numbers without holes in the order in which they became
// visible.
func TestAppend(t *testing.T) {
	d := dbtest.New(t)
	schema := dbtest.Tenant(t, d)
	tenant, now := d.Tenant(schema), time.Now()
	stop := errors.New("stop")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				err := tenant.Tx(t.Context(), func(q *tenantdb.Queries) error {
					last, err := firehose.Append(t.Context(), q,
						firehose.NewIdentity(int64(g), did, "a.test", now),
						firehose.NewAccount(int64(g), did, true, "", now))
					if err == nil && last < 2 {
						t.Error("last is", last)
					}
					if err == nil && i%5 == 0 {
						err = stop
					}
					return err
				})
				if err != nil && !errors.Is(err, stop) {
					t.Error(err)
				}
			}
		})
	}
	// A reader that goes by "greater than the last seen" misses nothing.
	seen := int64(0)
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for ending := false; ; {
		list, err := firehose.ListEvents(t.Context(), tenant.Q(), seen, 7, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Seq != seen+1 {
				t.Fatalf("event %d follows %d", e.Seq, seen)
			}
			seen = e.Seq
			f, err := firehose.Decode(e.AppendFrame(nil))
			if err != nil || f.Seq != e.Seq || f.Kind != e.Kind {
				t.Fatalf("event %d: %+v %v", e.Seq, f, err)
			}
		}
		if len(list) == 0 && ending {
			break
		}
		select {
		case <-done:
			ending = true
		default:
		}
	}
	if seen != 8*16*2 {
		t.Errorf("%d events", seen)
	}
	list, err := firehose.ListEventsOf(t.Context(), tenant.Q(), 3, 0, 1000)
	if err != nil || len(list) != 32 {
		t.Errorf("%d events of one account: %v", len(list), err)
	}
	holes, err := tenant.Q().CountSeqHoles(t.Context())
	if err != nil || holes != 0 {
		t.Errorf("%d holes: %v", holes, err)
	}
}

// TestStoredFrame: what is read back is what was built.
func TestStoredFrame(t *testing.T) {
	d := dbtest.New(t)
	tenant := d.Tenant(dbtest.Tenant(t, d))
	e := firehose.NewIdentity(4, did, "b.test", time.Now())
	err := tenant.Tx(t.Context(), func(q *tenantdb.Queries) error {
		last, err := firehose.Append(t.Context(), q, e)
		if err == nil && last != 1 {
			t.Error("last is", last)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := firehose.ListEvents(t.Context(), tenant.Q(), 0, 10, 1)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if !bytes.Equal(list[0].AppendFrame(nil), firehose.Splice(nil, e.Payload, e.SeqOff, 1)) {
		t.Error("another frame")
	}
}

func TestHub(t *testing.T) {
	d := dbtest.New(t)
	a, b := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
	h := firehose.NewHub()
	var changed int64
	h.OnChange(func(s db.Schema, seq int64) { changed += seq })
	h.Notify(a, 1) // nobody listens
	w1, w2, other := h.Watch(a), h.Watch(a), h.Watch(b)
	h.Notify(a, 2)
	h.Notify(a, 3) // never blocks
	<-w1.C
	<-w2.C
	w1.Stop()
	h.Notify(a, 4)
	<-w2.C
	select {
	case <-w1.C:
		t.Error("was stopped")
	case <-other.C:
		t.Error("of another tenant")
	default:
	}
	w2.Stop()
	other.Stop()
	if changed != 10 {
		t.Error("not all changes were told:", changed)
	}
}
