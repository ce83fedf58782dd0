package repodb

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/internal/procfs"
	"github.com/auroralocus/locus/repo"
)

// benchServer is a Postgres of the benchmark's own with the settings of the embedded one: fsync, full_page_writes and
// synchronous_commit are on.
func benchServer(b testing.TB, opts ...embedded.Option) *embedded.Server {
	b.Helper()
	dir, err := os.MkdirTemp("", "locus-bench-")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	server, err := embedded.Start(b.Context(), dir, slog.New(slog.DiscardHandler), append(opts, embedded.WithoutRestart())...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Stop()
		_ = os.RemoveAll(dir)
	})
	return server
}

func benchStore(b testing.TB, cfg Config) (*Store, db.Schema) {
	b.Helper()
	d := dbtest.Open(b, benchServer(b).URL)
	if err := d.MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	return newStore(b, d, newKeys(b), cfg), dbtest.Tenant(b, d)
}

// populate gives a repository n posts.
func populate(b testing.TB, s *Store, schema db.Schema, aid int64, n int) {
	b.Helper()
	for done := 0; done < n; {
		var w []repo.Write
		for ; len(w) < 200 && done < n; done++ {
			w = append(w, create(fmt.Sprintf("app.bsky.feed.post/3a%011d", done), post(fmt.Sprint("a post of ordinary length, the ", done, "th of its author"))))
		}
		mustWrite(b, s, schema, aid, w...)
	}
}

// processCPU is the CPU time that the processes of a Postgres have used so far, dead ones too.
func processCPU(b *testing.B, postmaster int) time.Duration {
	b.Helper()
	used, err := procfs.Here.Tree(postmaster)
	if err != nil {
		b.Fatal(err)
	}
	return used
}

// BenchmarkCreate is one createRecord after another on repositories of several sizes, in turn so that the machine's
// moods hit all alike. The figure to hold is the ratio of the medians, at most 1.5.
func BenchmarkCreate(b *testing.B) {
	s, schema := benchStore(b, Config{})
	sizes := []int{0, 10_000, 100_000}
	times := make([][]time.Duration, len(sizes))
	aids := make([]int64, len(sizes))
	for i, n := range sizes {
		aids[i], _ = newRepo(b, s.db, s.keys, schema)
		populate(b, s, schema, aids[i], n)
	}
	n := 0
	for b.Loop() {
		n++
		path := fmt.Sprintf("app.bsky.feed.post/3k%011d", n)
		record := post(path)
		for i, aid := range aids {
			start := time.Now()
			mustWrite(b, s, schema, aid, create(path, record))
			times[i] = append(times[i], time.Since(start))
		}
		if n%500 == 0 { // a "small" repository stays small
			aids[0], _ = newRepo(b, s.db, s.keys, schema)
		}
	}
	var median [3]float64
	for i, list := range times {
		slices.Sort(list)
		median[i] = float64(list[len(list)/2].Microseconds())
		b.ReportMetric(median[i], fmt.Sprintf("µs/%d-records", sizes[i]))
	}
	b.ReportMetric(median[2]/median[0], "ratio")
}

// BenchmarkCreateActors is createRecord by several accounts at once.
func BenchmarkCreateActors(b *testing.B) {
	server := benchServer(b)
	d := dbtest.Open(b, server.URL)
	if err := d.MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	keys := newKeys(b)
	pid := server.Pid()
	for _, actors := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(actors), func(b *testing.B) {
			s, schema := newStore(b, d, keys, Config{}), dbtest.Tenant(b, d)
			var aids []int64
			for range actors {
				aid, _ := newRepo(b, d, keys, schema)
				populate(b, s, schema, aid, 1000)
				aids = append(aids, aid)
			}
			var n atomic.Int64
			var mu sync.Mutex
			var times []time.Duration
			client, srv := procfs.Own(), processCPU(b, pid)
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, aid := range aids {
				wg.Go(func() {
					var own []time.Duration
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						path := fmt.Sprintf("app.bsky.feed.post/3k%011d", i)
						start := time.Now()
						if _, err := s.Write(context.Background(), schema, aid, Options{}, writes(create(path, post(path)))); err != nil {
							b.Error(err)
							return
						}
						own = append(own, time.Since(start))
					}
					mu.Lock()
					times = append(times, own...)
					mu.Unlock()
				})
			}
			wg.Wait()
			b.StopTimer()
			commits := float64(b.N)
			b.ReportMetric(commits/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64((procfs.Own()-client).Microseconds())/commits, "client-µs/commit")
			b.ReportMetric(float64((processCPU(b, pid)-srv).Microseconds())/commits, "server-µs/commit")
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// BenchmarkGetRecord reads random records by DID with 8 readers.
func BenchmarkGetRecord(b *testing.B) {
	s, schema := benchStore(b, Config{})
	aid, did := newRepo(b, s.db, s.keys, schema)
	populate(b, s, schema, aid, 20_000)
	var n atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				path := fmt.Sprintf("app.bsky.feed.post/3a%011d", i*7919%20_000)
				if _, _, err := s.GetRecord(context.Background(), schema, did, path); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkExport writes repositories to nowhere.
func BenchmarkExport(b *testing.B) {
	s, schema := benchStore(b, Config{})
	for _, n := range []int{1000, 100_000} {
		aid, _ := newRepo(b, s.db, s.keys, schema)
		populate(b, s, schema, aid, n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				var c counter
				if err := s.Export(b.Context(), nil, schema, aid, 0, &c); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(c))
			}
		})
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return io.Discard.Write(p)
}
