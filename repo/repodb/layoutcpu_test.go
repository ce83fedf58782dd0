package repodb

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/internal/procfs"
)

// BenchmarkLayoutCPU compares the CPU of layouts on a machine that does other things too: they take turns on one
// server, a few commits each, and what counts is the CPU time of each one's own backend. Vacuums are run by hand, five
// times on the way, on backends of their own.
func BenchmarkLayoutCPU(b *testing.B) {
	repos, commits := layoutSize()
	sim := simulate(b, repos, commits, layoutGroup)
	for b.Loop() {
		server := benchServer(b, embedded.Setting("autovacuum", "off"), embedded.Setting("max_wal_size", "20GB"))
		var runs []*cpuRun
		for _, l := range layouts {
			runs = append(runs, newCPURun(b, server.URL, l, sim))
		}
		n := 0
		fifth := len(sim.commits)/5 + 1
		for groups := range slices.Chunk(sim.commits, 25) {
			for _, r := range runs {
				r.l.run(b, r.db.Tenant(r.schema), groups)
			}
			if before := n; (before+len(groups))/fifth > before/fifth {
				for _, r := range runs {
					r.clean(b)
				}
			}
			n += len(groups)
		}
		total := float64(len(sim.commits) * len(sim.commits[0]))
		for _, r := range runs {
			r.clean(b)
			b.ReportMetric(float64(r.cpu(b, "run").Microseconds())/total, r.l.name+"-µs/commit")
			b.ReportMetric(float64(r.cpu(b, "vacuum").Microseconds())/total, r.l.name+"-vacuum-µs/commit")
		}
	}
}

type cpuRun struct {
	l      layout
	url    string
	db     *db.DB
	schema db.Schema
	vacuum *pgx.Conn
}

func newCPURun(b *testing.B, url string, l layout, sim *simulation) *cpuRun {
	r := &cpuRun{l: l, url: url, schema: prepareLayout(b, url, l)}
	sim.load(b, url, r.schema, l)
	named := func(what string) string { return url + "&application_name=" + l.name + "-" + what }
	var err error
	if r.db, err = db.Open(b.Context(), db.Config{URL: named("run"), Sizes: db.Sizes{SubPools: 1, PoolConns: 1}}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.db.Close)
	if r.vacuum, err = pgx.Connect(b.Context(), named("vacuum")); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.vacuum.Close(b.Context()) })
	return r
}

func (r *cpuRun) clean(b *testing.B) {
	if r.l.table == "" {
		return
	}
	if _, err := r.vacuum.Exec(b.Context(), fmt.Sprintf("VACUUM %s.%s", r.schema, r.l.table)); err != nil {
		b.Fatal(err)
	}
}

// cpu is the CPU time of the backends with this name.
func (r *cpuRun) cpu(b *testing.B, what string) (used time.Duration) {
	var pids []int32
	queryRow(b, r.url, "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE application_name = $1", &pids, r.l.name+"-"+what)
	for _, pid := range pids {
		backend, err := procfs.Here.Read(int(pid))
		if err != nil {
			b.Fatal(err)
		}
		used += backend.CPU
	}
	return used
}
