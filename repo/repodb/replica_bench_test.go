package repodb

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/repo"
)

// BenchmarkReplica reads from a primary and from its replica: calls a second, and what each of the two servers spends on one.
//
//	go test ./repo/repodb -run '^$' -bench Replica -benchtime 2s
func BenchmarkReplica(b *testing.B) {
	cluster := dbtest.NewCluster(b)
	if err := dbtest.Open(b, cluster.URL()).MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	d := dbtest.OpenConfig(b, db.Config{URL: cluster.URL(), ReplicaStaleness: 10 * time.Second, Replicas: []db.Replica{{URL: cluster.Async.URL()}}})
	ctx, stop := context.WithCancel(b.Context())
	var watch sync.WaitGroup
	watch.Go(func() { _ = d.RunReplicas(ctx) })
	defer watch.Wait()
	defer stop()
	schema, keys := dbtest.Tenant(b, d), newKeys(b)
	s := newStore(b, d, keys, Config{})
	aid, did := newRepo(b, d, keys, schema)
	const records, at = 2000, 100
	for i := 0; i < records; i += at {
		var group []repo.Write
		for j := range at {
			group = append(group, create(fmt.Sprintf("app.bsky.feed.post/%06d", i+j), post(strings.Repeat("words ", 20)+strconv.Itoa(i+j))))
		}
		if _, err := s.Write(ctx, schema, aid, Options{}, writes(group...)); err != nil {
			b.Fatal(err)
		}
	}
	cluster.Eventually("the replica has it", func() bool { _, ok := d.Lagging(ctx, schema, db.Lag{AID: aid}); return ok })
	pid := func(m *dbtest.Member) int {
		n, err := strconv.Atoi(m.Ask(`SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`))
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	primary, replica := pid(cluster.Primary), pid(cluster.Async)
	lately := func(ctx context.Context) context.Context { ctx, _ = d.Lagging(ctx, schema, db.Lag{}); return ctx }
	asNew := func(ctx context.Context) context.Context { return s.AsNew(ctx, schema, aid) }
	for _, kind := range []struct {
		name string
		lent func(context.Context) context.Context
		read func(context.Context) error
	}{
		{"getRecord", lately, func(ctx context.Context) error {
			_, _, err := s.GetRecord(ctx, schema, did, "app.bsky.feed.post/001000")
			return err
		}},
		{"listRecords", lately, func(ctx context.Context) error {
			_, err := s.ListRecords(ctx, schema, aid, "app.bsky.feed.post", "", 50, 1<<20, false)
			return err
		}},
		{"proof", asNew, func(ctx context.Context) error {
			_, err := s.Proof(ctx, schema, aid, "app.bsky.feed.post/001000")
			return err
		}},
		{"export", asNew, func(ctx context.Context) error {
			return s.Export(ctx, fair.Path{"bench"}, schema, aid, 0, io.Discard)
		}},
	} {
		for _, from := range []string{"primary", "replica"} {
			b.Run(kind.name+"/"+from, func(b *testing.B) {
				before, other := processCPU(b, primary), processCPU(b, replica)
				b.SetParallelism(2)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						on := ctx
						if from == "replica" {
							on = kind.lent(ctx)
						}
						if err := kind.read(on); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
				b.ReportMetric(float64((processCPU(b, primary)-before).Microseconds())/float64(b.N), "primary-µs/op")
				b.ReportMetric(float64((processCPU(b, replica)-other).Microseconds())/float64(b.N), "replica-µs/op")
			})
		}
	}
}
