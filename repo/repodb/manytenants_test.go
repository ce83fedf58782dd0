package repodb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/embedded"
)

// What many active tenants cost with pools of several shapes, which are measured in turn so that the machine's moods hit
// all alike. Without its variables it is over in a few seconds and says little.
//
//	LOCUS_BENCH_TENANTS=10,1000 LOCUS_BENCH_POOLS=1x5/2048,4x2/16384,4x2/16384g,4x2/16384r LOCUS_BENCH_SECONDS=5 LOCUS_BENCH_ROUNDS=3 \
//	  go test ./repo/repodb -run '^$' -bench ManyTenants -benchtime 1x -timeout 30m
//
// 4x2/16384 is four pools of two connections that keep 16,384 statements each; g with generic plans only, r with a role for
// each tenant.
func BenchmarkManyTenants(b *testing.B) {
	for _, n := range strings.Split(setting("LOCUS_BENCH_TENANTS", "4"), ",") {
		tenants, err := strconv.Atoi(n)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(n, func(b *testing.B) { benchMany(b, tenants) })
	}
}

func setting(name, without string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return without
}

const manyClients = 16

// manyRun is one shape of pools.
type manyRun struct {
	spec    string
	db      *db.DB
	store   *Store
	app     string // the connections' name
	created []float64
	read    []float64
	writing []float64 // µs of Postgres for each
	reading []float64
}

type manyRepo struct {
	schema db.Schema
	aid    int64
	did    string
}

func benchMany(b *testing.B, tenants int) {
	seconds, err := strconv.ParseFloat(setting("LOCUS_BENCH_SECONDS", "0.2"), 64)
	if err != nil {
		b.Fatal(err)
	}
	rounds, err := strconv.Atoi(setting("LOCUS_BENCH_ROUNDS", "1"))
	if err != nil {
		b.Fatal(err)
	}
	span := time.Duration(seconds * float64(time.Second))
	server := benchServer(b, embedded.Setting("max_connections", "200"))
	keys := newKeys(b)
	first := dbtest.Open(b, server.URL)
	if err := first.MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	specs := strings.Split(setting("LOCUS_BENCH_POOLS", "1x5/2048,4x2/16384"), ",")
	roles, err := db.Open(b.Context(), db.Config{URL: server.URL, TenantRoles: strings.Contains(strings.Join(specs, ","), "r")})
	if err != nil {
		b.Fatal(err)
	}
	defer roles.Close()
	repos := make([]manyRepo, tenants)
	for i := range repos {
		schema := dbtest.Tenant(b, roles)
		aid, did := newRepo(b, first, keys, schema)
		repos[i] = manyRepo{schema, aid, did}
	}
	var runs []*manyRun
	for i, spec := range specs {
		r := openMany(b, server.URL, spec, fmt.Sprint("many", i))
		r.store = newStore(b, r.db, keys, Config{})
		r.measure(b, server.Pid(), repos, span, true) // learns the tables
		runs = append(runs, r)
	}
	for range rounds {
		for _, r := range runs {
			r.measure(b, server.Pid(), repos, span, false)
		}
	}
	for _, r := range runs {
		conns, memory := r.memory(b, server.URL)
		b.Logf("%5d tenants %-14s creates %6.0f/s %5.0f µs of Postgres each; getRecord %6.0f/s %4.0f µs; %d connections of %.0f MB", tenants, r.spec,
			median(r.created), median(r.writing), median(r.read), median(r.reading), conns, memory)
		b.ReportMetric(median(r.created), r.spec+"-creates/s")
		b.ReportMetric(median(r.read), r.spec+"-reads/s")
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func openMany(b *testing.B, url, spec, app string) *manyRun {
	b.Helper()
	r := &manyRun{spec: spec, app: app}
	cfg := db.Config{URL: url + "&application_name=" + app}
	shape, flags, _ := strings.Cut(spec, "/")
	digits := strings.TrimRight(flags, "gr")
	if strings.Contains(flags[len(digits):], "g") {
		cfg.URL += "&plan_cache_mode=force_generic_plan"
	}
	cfg.TenantRoles = strings.Contains(flags[len(digits):], "r")
	if _, err := fmt.Sscanf(shape+"/"+digits, "%dx%d/%d", &cfg.SubPools, &cfg.PoolConns, &cfg.Statements); err != nil {
		b.Fatalf("%s: %v", spec, err)
	}
	var err error
	if r.db, err = db.Open(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.db.Close)
	return r
}

var manyPaths atomic.Int64

// measure creates and reads records at tenants that are drawn at random.
func (r *manyRun) measure(b *testing.B, postmaster int, repos []manyRepo, span time.Duration, warm bool) {
	b.Helper()
	if warm { // each tenant on each connection, as far as chance has it
		for range 2 {
			r.each(b, len(repos), func(i int) error { return r.create(repos[i]) })
			r.each(b, len(repos), func(i int) error { return r.get(repos[i]) })
		}
	}
	for _, work := range []struct {
		do         func(manyRepo) error
		rate, cost *[]float64
	}{{r.create, &r.created, &r.writing}, {r.get, &r.read, &r.reading}} {
		var done atomic.Int64
		before, began := processCPU(b, postmaster), time.Now()
		var wg sync.WaitGroup
		for range manyClients {
			wg.Go(func() {
				for time.Since(began) < span {
					if err := work.do(repos[rand.IntN(len(repos))]); err != nil {
						b.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		wg.Wait()
		if took, n := time.Since(began), float64(done.Load()); !warm {
			*work.rate = append(*work.rate, n/took.Seconds())
			*work.cost = append(*work.cost, float64((processCPU(b, postmaster)-before).Microseconds())/n)
		}
	}
}

func (r *manyRun) each(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range manyClients {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (r *manyRun) create(at manyRepo) error {
	path := fmt.Sprintf("app.bsky.feed.post/3k%011d", manyPaths.Add(1))
	_, err := r.store.Write(context.Background(), at.schema, at.aid, Options{}, writes(create(path, post(path))))
	return err
}

func (r *manyRun) get(at manyRepo) error {
	_, _, err := r.store.GetRecord(context.Background(), at.schema, at.did, "app.bsky.feed.post/none")
	if err == ErrRecordNotFound {
		return nil
	}
	return err
}

// memory is how many connections there are, and what one of them has of its own.
func (r *manyRun) memory(b *testing.B, url string) (conns int, mb float64) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	rows, err := conn.Query(b.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = $1", r.app)
	if err != nil {
		b.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, pid := range pids {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64) // digits
				sum += kb / 1024
			}
		}
	}
	return len(pids), sum / float64(max(1, len(pids)))
}

// BenchmarkNeighbour is what one tenant's reads take while 64 readers, or 16 writers, of another are at work in the same
// pool, against nobody. The figures to hold are the ratios.
func BenchmarkNeighbour(b *testing.B) {
	seconds, err := strconv.ParseFloat(setting("LOCUS_BENCH_SECONDS", "0.2"), 64)
	if err != nil {
		b.Fatal(err)
	}
	span := time.Duration(seconds * float64(time.Second))
	server := benchServer(b)
	r := openMany(b, server.URL, setting("LOCUS_BENCH_POOLS", "1x2/16384"), "neighbour")
	if err := r.db.MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	keys := newKeys(b)
	r.store = newStore(b, r.db, keys, Config{})
	var repos []manyRepo
	for range 2 {
		schema := dbtest.Tenant(b, r.db)
		aid, did := newRepo(b, r.db, keys, schema)
		repos = append(repos, manyRepo{schema, aid, did})
	}
	busy, quiet := repos[0], repos[1]
	idle := r.alone(b, quiet, span)
	b.ReportMetric(idle[0], "idle-p50-µs")
	b.ReportMetric(idle[1], "idle-p99-µs")
	for name, crowd := range map[string]struct {
		n  int
		do func(manyRepo) error
	}{"readers": {64, r.get}, "writers": {16, r.create}} {
		var over atomic.Bool
		var wg sync.WaitGroup
		for range crowd.n {
			wg.Go(func() {
				for !over.Load() {
					if err := crowd.do(busy); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		got := r.alone(b, quiet, span)
		over.Store(true)
		wg.Wait()
		b.ReportMetric(got[0]/idle[0], name+"-p50-ratio")
		b.ReportMetric(got[1]/idle[1], name+"-p99-ratio")
	}
}

// alone is the median and the 99th percentile of one reader's reads, in µs.
func (r *manyRun) alone(b *testing.B, at manyRepo, span time.Duration) (out [2]float64) {
	b.Helper()
	var times []time.Duration
	for began := time.Now(); time.Since(began) < span || len(times) == 0; {
		start := time.Now()
		if err := r.get(at); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	for i, of := range []int{50, 99} {
		out[i] = float64(times[len(times)*of/100].Microseconds())
	}
	return out
}
