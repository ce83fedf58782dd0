package repodb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/mst"
	"github.com/auroralocus/locus/schema"
)

// meter reads what a layout costs.
type meter struct {
	b      *testing.B
	url    string
	pid    int
	schema db.Schema
	l      layout
}

func scoped(s db.Schema, sql string) string { return schema.Rename(sql, s.String()) }

func (m *meter) value(sql string) (v float64) {
	queryRow(m.b, m.url, scoped(m.schema, "SELECT ("+sql+")::float8"), &v)
	return v
}

func (m *meter) report(name string, v float64) { m.b.ReportMetric(v, name) }

func (m *meter) checkpoint() { execSQL(m.b, m.url, "CHECKPOINT") }

// phase runs groups and, if prefix is not empty or it is the last, reports.
func (m *meter) phase(prefix string, groups [][]*pending) {
	commits := 0.0
	for _, g := range groups {
		commits += float64(len(g))
	}
	d, err := db.Open(m.b.Context(), db.Config{URL: m.url})
	if err != nil {
		m.b.Fatal(err)
	}
	wal, fpi := m.value("SELECT pg_current_wal_insert_lsn() - '0/0'"), m.value("SELECT wal_fpi FROM pg_stat_wal")
	cpu, start := processCPU(m.b, m.pid), time.Now()
	m.l.run(m.b, d.Tenant(m.schema), groups)
	took := time.Since(start)
	used := processCPU(m.b, m.pid) - cpu
	d.Close() // backends write their statistics when they end
	time.Sleep(200 * time.Millisecond)
	m.report(prefix+"µs-server/commit", float64(used.Microseconds())/commits)
	m.report(prefix+"WAL-B/commit", (m.value("SELECT pg_current_wal_insert_lsn() - '0/0'")-wal)/commits)
	m.report(prefix+"pages/commit", (m.value("SELECT wal_fpi FROM pg_stat_wal")-fpi)/commits)
	m.report(prefix+"commits/s", commits/took.Seconds())
}

// vacuumed waits until autovacuum has caught up, as it does where commits come slower.
func (m *meter) vacuumed() {
	if m.l.table == "" {
		return
	}
	for range 60 {
		busy := m.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'")
		dead := m.value("SELECT (n_dead_tup > 0.03 * n_live_tup + 200)::int FROM pg_stat_user_tables WHERE schemaname = '" + m.schema.String() + "' AND relname = '" + m.l.table + "'::name")
		if busy == 0 && dead == 0 {
			return
		}
		time.Sleep(time.Second)
	}
}

func (m *meter) sizes(when string) {
	if m.l.table == "" {
		return
	}
	table := m.schema.String() + "." + m.l.table
	m.report(when+"-heap-MB", m.value("SELECT pg_relation_size('"+table+"') / 1e6"))
	m.report(when+"-index-MB", m.value("SELECT pg_indexes_size('"+table+"') / 1e6"))
	m.report(when+"-live-MB", m.value("SELECT sum(pg_column_size(t.*)) / 1e6 FROM pds_tenant."+m.l.table+" t"))
	if when == "end" {
		m.report("hot-%", m.value("SELECT 100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1) FROM pg_stat_user_tables WHERE relid = '"+table+"'::regclass"))
	}
}

// largest lists the repositories of more than half the records of the largest.
func (sim *simulation) largest() (out []*simRepo) {
	top := 0
	for _, r := range sim.repos {
		top = max(top, len(r.start))
	}
	for _, r := range sim.repos {
		if len(r.start) > top/2 {
			out = append(out, r)
		}
	}
	return out
}

// export streams the large repositories, as the layout gives them: by position in streaming order, by CID nodes before
// records.
func (m *meter) export(name string, sim *simulation) {
	d, err := db.Open(m.b.Context(), db.Config{URL: m.url})
	if err != nil {
		m.b.Fatal(err)
	}
	defer d.Close()
	ctx := m.b.Context()
	cpu, start, n := processCPU(m.b, m.pid), time.Now(), counter(0)
	rounds := 1
	if name == "warm" {
		rounds = 5
	}
	for range rounds {
		for _, r := range sim.largest() {
			err := d.Tenant(m.schema).ReadTx(ctx, func(tx *db.ReadTx) error {
				if m.l.byCID {
					var out []byte
					for _, sql := range []string{
						"SELECT cid, content FROM pds_tenant.mst_block WHERE aid = $1",
						"SELECT cid, value FROM pds_tenant.record WHERE aid = $1",
					} {
						err := tx.Stream(ctx, sql, []any{r.aid}, func(raw [][]byte) error {
							out = car.AppendSectionRaw(out[:0], raw[0], raw[1])
							_, err := n.Write(out)
							return err
						})
						if err != nil {
							return err
						}
					}
					return nil
				}
				sp := newSpool("", 1<<40, fair.NewBytes(64<<30), nil)
				done := make(chan error, 1)
				go func() { done <- sp.copyTo(&n) }()
				o := ordered{sp: &resumed{to: sp}}
				err := tx.Stream(ctx, tenantdb.ListRepoBlocks, []any{r.aid, int64(0)}, o.row)
				if err == nil {
					err = o.flush()
				}
				sp.finish(err)
				return <-done
			})
			if err != nil {
				m.b.Fatal(err)
			}
		}
	}
	mb := float64(n) / 1e6
	m.report(name+"-export-MB/s", mb/time.Since(start).Seconds())
	if name == "warm" {
		m.report("export-server-ms/MB", float64((processCPU(m.b, m.pid)-cpu).Milliseconds())/mb)
	}
}

// cold counts the pages read from disk (or the system's cache) by the first read of a path after a restart, and by the
// export of a repository.
func (m *meter) cold(sim *simulation) {
	ctx := m.b.Context()
	conn, err := pgx.Connect(ctx, m.url)
	if err != nil {
		m.b.Fatal(err)
	}
	defer conn.Close(ctx)
	// Read by both alike, so it must not count for one.
	if _, err := conn.Exec(ctx, scoped(m.schema, "SELECT count(*) FROM pds_tenant.actor")); err != nil {
		m.b.Fatal(err)
	}
	var read, touched, trips, count float64
	large := sim.largest()
	for i, r := range sim.repos {
		if i%4 != 0 || slices.Contains(large, r) {
			continue
		}
		path := r.paths[len(r.paths)-1]
		count++
		if m.l.byCID {
			nodes, _, err := mst.Path(r.tree.Root(), r.all.Load, path)
			if err != nil {
				m.b.Fatal(err)
			}
			for _, n := range nodes { // each names the next: one statement after the other
				a, b := m.explain(conn, "SELECT content FROM pds_tenant.mst_block WHERE aid = $1 AND cid = $2", r.aid, n.CID.Bytes())
				read, touched, trips = read+a, touched+b, trips+1
			}
			continue
		}
		a, b := m.explain(conn, tenantdb.ListPathNodes, r.aid, path)
		read, touched, trips = read+a, touched+b, trips+1
	}
	m.report("cold-path-reads", read/count)
	m.report("cold-path-buffers", touched/count)
	m.report("cold-path-statements", trips/count)

	r := large[0]
	blocks := float64(len(r.paths) + len(r.nodes))
	if m.l.byCID {
		a, _ := m.explain(conn, "SELECT cid, content FROM pds_tenant.mst_block WHERE aid = $1", r.aid)
		m.report("cold-export-node-reads/1000-blocks", 1000*a/blocks)
	} else {
		// The records' pages are read before, so that only the nodes' count.
		m.explain(conn, "SELECT cid, value FROM pds_tenant.record WHERE aid = $1 ORDER BY path", r.aid)
		a, _ := m.explain(conn, tenantdb.ListRepoBlocks, r.aid, int64(0))
		m.report("cold-export-node-reads/1000-blocks", 1000*a/blocks)
	}
}

// explain runs a statement and returns the pages it read and all it touched.
func (m *meter) explain(conn *pgx.Conn, sql string, args ...any) (read, touched float64) {
	var raw []byte
	// The generated constants begin with their name as a comment.
	if _, rest, ok := strings.Cut(sql, "\n"); ok && strings.HasPrefix(sql, "-- name") {
		sql = rest
	}
	if err := conn.QueryRow(context.Background(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+scoped(m.schema, sql), args...).Scan(&raw); err != nil {
		m.b.Fatal(fmt.Errorf("%s: %w", sql, err))
	}
	var plan []struct {
		Plan struct {
			Hit  float64 `json:"Shared Hit Blocks"`
			Read float64 `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(raw, &plan); err != nil {
		m.b.Fatal(err)
	}
	return plan[0].Plan.Read, plan[0].Plan.Read + plan[0].Plan.Hit
}
