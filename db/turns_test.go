package db_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Hundreds of one tenant's statements and transactions want the few connections, all the time and slowly. Another
// tenant's always find one: counted in what the crowd got meanwhile, not in time.
func TestTenantsTakeTurnsForConnections(t *testing.T) {
	d, err := db.Open(t.Context(), db.Config{URL: dbtest.URL(t), Sizes: db.Sizes{SubPools: 1, PoolConns: 3, StreamConns: 3}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	crowded, other := d.Tenant(dbtest.Tenant(t, d)), d.Tenant(dbtest.Tenant(t, d))
	slow := func(ctx context.Context, tx db.Runs) error { return db.Sleep(ctx, tx, 20*time.Millisecond) }
	for _, c := range []struct {
		name  string
		crowd func(context.Context) error
		mine  func(context.Context) error
	}{
		{"statements", func(ctx context.Context) error { return slow(ctx, db.RawTenant(crowded.Q())) },
			func(ctx context.Context) error { _, err := other.Q().GetLastSeq(ctx); return err }},
		{"transactions",
			func(ctx context.Context) error {
				return crowded.Tx(ctx, func(q *tenantdb.Queries) error { return slow(ctx, db.RawTenant(q)) })
			},
			func(ctx context.Context) error {
				return other.Tx(ctx, func(q *tenantdb.Queries) error { _, err := q.GetLastSeq(ctx); return err })
			}},
		{"batches", func(ctx context.Context) error { return slow(ctx, db.RawTenant(crowded.Q())) },
			func(ctx context.Context) error {
				b := other.Batch()
				b.Queue(tenantdb.GetLastSeq).Row(func(row pgx.Row) error { var n int64; return row.Scan(&n) })
				return b.Send(ctx)
			}},
		{"long reads",
			func(ctx context.Context) error {
				return crowded.ReadTx(ctx, func(tx *db.ReadTx) error { return slow(ctx, db.RawTenant(tx.Q())) })
			},
			func(ctx context.Context) error {
				return other.ReadTx(ctx, func(tx *db.ReadTx) error { _, err := tx.Q().GetLastSeq(ctx); return err })
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			var done atomic.Int64
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			for range 200 {
				wg.Go(func() {
					for ctx.Err() == nil {
						if c.crowd(ctx) == nil {
							done.Add(1)
						}
					}
				})
			}
			for done.Load() < 6 {
				time.Sleep(time.Millisecond)
			}
			const times = 20
			before := done.Load()
			for range times {
				if err := c.mine(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			theirs := done.Load() - before
			t.Logf("the crowd did %d while another tenant did %d", theirs, times)
			if theirs > 4*times { // first come, first served, it was 200 for each
				t.Errorf("the crowd did %d while another tenant did %d", theirs, times)
			}
		})
	}
}
