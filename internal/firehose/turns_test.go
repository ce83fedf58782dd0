package firehose_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
)

// TestOldEventsTakeTurns: many subscribers at one tenant read all it has again and again. One at another tenant, or
// from another address, waits for the pages being read, not for all of theirs. Counted in pages, not in time.
func TestOldEventsTakeTurns(t *testing.T) {
	// One pool for both: where each has its own they do not meet.
	d, err := db.Open(t.Context(), db.Config{URL: dbtest.URL(t), Sizes: db.Sizes{SubPools: 1, PoolConns: 4}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	crowded, other := dbtest.Tenant(t, d), dbtest.Tenant(t, d)
	old := time.Now().Add(-time.Hour)
	for _, s := range []db.Schema{crowded, other} {
		for range 200 {
			appendEvents(t, d.Tenant(s), firehose.NewIdentity(1, did, "a.test", old))
		}
	}
	n := newNode(t, d, newKeys(t), time.Now, firehose.Config{PageEvents: 4})
	subscribe := func(ctx context.Context, s db.Schema, from string) *firehose.Subscription {
		sub, err := n.tails.Subscribe(ctx, s, firehose.From{HasSeq: true, For: fair.Path{s.String(), from}})
		if err != nil {
			t.Error(err)
			return nil
		}
		return sub
	}
	ctx, stop := context.WithCancel(t.Context())
	var pages atomic.Int64
	var crowd sync.WaitGroup
	defer crowd.Wait()
	defer stop()
	for range 50 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				sub := subscribe(t.Context(), crowded, "203.0.113.1")
				if sub == nil {
					return
				}
				for range 40 {
					if _, err := sub.Next(ctx, nil); err != nil {
						break
					}
					pages.Add(1)
				}
				sub.Close()
			}
		})
	}
	for pages.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	for _, who := range []struct {
		schema db.Schema
		from   string
	}{{other, "203.0.113.1"}, {crowded, "203.0.113.2"}} {
		// Of several rounds the best counts: in one in which this goroutine did not get a processor the crowd reads on, and
		// that is not their turns. First come, first served, it was 50 of theirs for each in every round.
		const mine = 30
		var least int64
		for round := range 3 {
			sub := subscribe(t.Context(), who.schema, who.from)
			if sub == nil {
				return
			}
			before := pages.Load()
			for range mine {
				if batch, err := sub.Next(t.Context(), nil); err != nil || len(batch) == 0 {
					t.Fatal(len(batch), err)
				}
			}
			theirs := pages.Load() - before
			sub.Close()
			t.Logf("%s %s read %d pages while the crowd read %d", who.schema, who.from, mine, theirs)
			if round == 0 || theirs < least {
				least = theirs
			}
		}
		if least > 8*mine {
			t.Errorf("%s %s read %d pages while the crowd read %d", who.schema, who.from, mine, least)
		}
	}
}
