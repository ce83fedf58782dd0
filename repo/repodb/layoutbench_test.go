package repodb

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// How tree nodes are stored was measured before it was settled, and can be
// measured again (docs/storage.md has the figures and says what they mean):
//
//	go test ./repo/repodb -run - -bench Layout -benchtime 1x -timeout 1h
//	LOCUS_BENCH_LAYOUT=long go test …     100,000 commits on 200 repositories
//
// Each layout gets the same repositories and the same commits, made by
// repo.ApplyTree from a seed, in the statements and groups of the committer, on
// a server with fsync. What differs is the table of nodes.

// layout is a way to store nodes.
type layout struct {
	name  string
	table string // of nodes; "": none are stored, to know what the rest costs
	ddl   []string
	byCID bool
}

func byPosition(fillfactor int) layout {
	return layout{
		name: fmt.Sprintf("position-%d", fillfactor), table: "mst_node",
		ddl: []string{fmt.Sprintf("ALTER TABLE pds_tenant.mst_node SET (fillfactor = %d)", fillfactor)},
	}
}

var layouts = []layout{
	{name: "none"},
	{name: "cid", table: "mst_block", byCID: true, ddl: []string{
		`CREATE TABLE pds_tenant.mst_block (aid bigint NOT NULL, rev bigint NOT NULL, cid bytea NOT NULL, content bytea NOT NULL,
		 PRIMARY KEY (aid, cid)) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02)`,
	}},
	byPosition(100), byPosition(90), byPosition(75), byPosition(50),
}

// Statements of the layout by CID, as the committer would send them.
const (
	insertBlocks = `INSERT INTO pds_tenant.mst_block (aid, rev, cid, content)
SELECT x.aid, x.rev, x.cid, x.content FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) AS x(aid, rev, cid, content)
JOIN pds_tenant.actor a ON a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY ($5::bytea[]) ON CONFLICT DO NOTHING`
	deleteBlocks = `DELETE FROM pds_tenant.mst_block k USING unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS x(aid, rev, cid), pds_tenant.actor a
WHERE a.aid = x.aid AND a.head_rev = x.rev AND a.head_cid = ANY ($4::bytea[]) AND k.aid = x.aid AND k.cid = x.cid`
)

// simulation is the repositories and what happens to them.
type simulation struct {
	repos   []*simRepo
	commits [][]*pending // groups
	bytes   int64        // of blocks in the initial state
}

type simRepo struct {
	aid   int64
	head  repo.Head
	block []byte
	tree  *mst.Tree
	nodes []mst.Node // at the beginning
	all   mst.Blocks // ever
	paths []string
	have  map[string]bool
	last  time.Time
	start map[string][]byte // records at the beginning
}

// fakeSigner saves the time of signing, which no layout changes.
type fakeSigner struct{}

func (fakeSigner) Sign([]byte) ([]byte, error) { return make([]byte, 64), nil }

var simCollections = []string{"app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.feed.repost", "app.bsky.graph.follow"}

func (r *simRepo) path(rnd *rand.Rand) string {
	r.last = r.last.Add(time.Duration(1+rnd.IntN(1e9)) * time.Microsecond)
	// likes 50 %, posts 30 %, reposts and follows 10 % each
	c := []int{0, 0, 0, 0, 0, 1, 1, 1, 2, 3}[rnd.IntN(10)]
	return simCollections[c] + "/" + repo.NewTID(r.last, rnd.IntN(1024)).String()
}

func simRecord(rnd *rand.Rand) []byte {
	b := make([]byte, 80+rnd.IntN(200))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return dagcbor.AppendBytes(dagcbor.AppendText(dagcbor.AppendMapHead(nil, 1), "x"), b)
}

// simulate makes repositories of 10 to 20,000 records and then commits of one
// operation each: 88 % appended creates, 7 % deletes, 3 % updates, 2 % creates
// anywhere.
func simulate(t testing.TB, repos, commits, group int) *simulation {
	rnd := rand.New(rand.NewPCG(1, 2))
	sim := &simulation{}
	for i := range repos {
		r := &simRepo{aid: int64(i + 1), last: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), have: map[string]bool{}, start: map[string][]byte{}}
		n := int(10 * math.Pow(2000, rnd.Float64()))
		for range n {
			p := r.path(rnd)
			if !r.have[p] {
				r.have[p] = true
				r.paths = append(r.paths, p)
				r.start[p] = simRecord(rnd)
				sim.bytes += int64(len(r.start[p]))
			}
		}
		sorted := slices.Sorted(slices.Values(r.paths))
		r.all = mst.Blocks{}
		root, err := mst.Build(func(yield func(string, cid.Cid) bool) {
			for _, p := range sorted {
				if !yield(p, dagcbor.CID(r.start[p])) {
					return
				}
			}
		}, func(n mst.Node) {
			n.Block = slices.Clone(n.Block)
			r.all.Add(n)
			r.nodes = append(r.nodes, n)
			sim.bytes += int64(len(n.Block))
		})
		if err != nil {
			t.Fatal(err)
		}
		c := repo.SignedCommit{DID: fmt.Sprintf("did:plc:%024d", r.aid), Rev: repo.NewTID(r.last, 0), Data: root, Sig: make([]byte, 64)}
		r.block = c.Block()
		r.head = repo.Head{DID: c.DID, CID: dagcbor.CID(r.block), Rev: c.Rev, Data: root}
		r.tree = mst.OpenRef(root, r.all.LoadRef)
		sim.repos = append(sim.repos, r)
	}
	zipf := rand.NewZipf(rnd, 1.1, 10, uint64(repos-1))
	heads := make([]repo.Head, repos)
	for i, r := range sim.repos {
		heads[i] = r.head
	}
	order := rnd.Perm(repos) // activity has nothing to do with size
	for made := 0; made < commits; made += group {
		var list []*pending
		used := map[int]bool{}
		for len(list) < min(group, repos/2) {
			i := order[zipf.Uint64()]
			if used[i] {
				continue
			}
			used[i] = true
			r := sim.repos[i]
			w := r.write(rnd)
			c, err := repo.ApplyTree(heads[i], r.tree, w, repo.NextRev(heads[i].Rev, r.last), fakeSigner{})
			if err != nil {
				t.Fatal(err)
			}
			p := &pending{aid: r.aid, prev: heads[i].Rev, commit: c, head: &head{Head: c.Head}, now: r.last, event: firehose.NewCommit(r.aid, c, r.last)}
			p.fill(w)
			for _, n := range c.Diff.New {
				r.all.Add(n)
			}
			r.tree, heads[i] = c.Tree, c.Head
			list = append(list, p)
		}
		slices.SortFunc(list, func(a, b *pending) int { return int(a.aid - b.aid) })
		sim.commits = append(sim.commits, list)
	}
	return sim
}

func (r *simRepo) write(rnd *rand.Rand) []repo.Write {
	n := rnd.IntN(100)
	any := func() string { return r.paths[rnd.IntN(len(r.paths))] }
	switch {
	case n < 7 && len(r.paths) > 5:
		i := rnd.IntN(len(r.paths))
		p := r.paths[i]
		r.paths[i] = r.paths[len(r.paths)-1]
		r.paths = r.paths[:len(r.paths)-1]
		delete(r.have, p)
		return []repo.Write{del(p)}
	case n < 10 && len(r.paths) > 0:
		return []repo.Write{update(any(), simRecord(rnd))}
	}
	p := r.path(rnd)
	if n < 12 {
		p = simCollections[rnd.IntN(4)] + "/" + repo.NewTID(r.last.Add(-time.Duration(rnd.Int64N(1e16))), rnd.IntN(1024)).String()
	}
	for r.have[p] {
		p = r.path(rnd)
	}
	r.have[p] = true
	r.paths = append(r.paths, p)
	return []repo.Write{create(p, simRecord(rnd))}
}

// load puts the initial state into a tenant, rows of all repositories mixed as
// they are where commits of many accounts follow each other.
func (sim *simulation) load(t testing.TB, url string, schema db.Schema, l layout) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rnd := rand.New(rand.NewPCG(3, 4))
	var actors, records, nodes [][]any
	now := time.Now()
	for _, r := range sim.repos {
		actors = append(actors, []any{r.aid, r.head.DID, r.head.CID.Bytes(), int64(r.head.Rev), r.block, now})
		for p, b := range r.start {
			records = append(records, []any{r.aid, p, int64(r.head.Rev), dagcbor.CID(b).Bytes(), b, now})
		}
		for _, n := range r.nodes {
			if l.byCID {
				nodes = append(nodes, []any{r.aid, int64(r.head.Rev), n.CID.Bytes(), n.Block})
			} else {
				nodes = append(nodes, []any{r.aid, int16(n.Level), n.After, int64(r.head.Rev), n.CID.Bytes(), n.Block})
			}
		}
	}
	rnd.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	rnd.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	put := func(table string, columns []string, rows [][]any) {
		if len(rows) == 0 {
			return
		}
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{schema.String(), table}, columns, pgx.CopyFromRows(rows)); err != nil {
			t.Fatal(err)
		}
	}
	put("actor", []string{"aid", "did", "head_cid", "head_rev", "head_commit", "created_at"}, actors)
	put("record", []string{"aid", "path", "rev", "cid", "value", "indexed_at"}, records)
	switch {
	case l.byCID:
		put(l.table, []string{"aid", "rev", "cid", "content"}, nodes)
	case l.table != "":
		put(l.table, []string{"aid", "level", "after", "rev", "cid", "content"}, nodes)
	}
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// run sends groups as the committer does, with the nodes as l stores them.
func (l layout) run(t testing.TB, tenant *db.Tenant, groups [][]*pending) {
	for _, group := range groups {
		b := tenant.Batch()
		won := 0
		plain := group
		if l.byCID || l.table == "" { // the committer's batch without nodes
			plain = make([]*pending, len(group))
			for i, p := range group {
				q, c := *p, *p.commit
				c.Diff = mst.Diff{}
				q.commit = &c
				plain[i] = &q
			}
		}
		queueGroup(b, plain, func(int64, int64, Sum) { won++ })
		if l.byCID {
			queueBlocks(b, group)
		}
		if err := b.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		if won != len(group) {
			t.Fatalf("%d of %d commits won", won, len(group))
		}
	}
}

func queueBlocks(b *db.Batch, group []*pending) {
	var aids, revs, oldAids, oldRevs []int64
	var cids, contents, oldCids, commits [][]byte
	for _, p := range group {
		rev := int64(p.commit.Head.Rev)
		commits = append(commits, p.commit.Head.CID.Bytes())
		for _, n := range p.commit.Diff.New {
			aids, revs, cids, contents = append(aids, p.aid), append(revs, rev), append(cids, n.CID.Bytes()), append(contents, n.Block)
		}
		for _, n := range p.commit.Diff.Stale {
			oldAids, oldRevs, oldCids = append(oldAids, p.aid), append(oldRevs, rev), append(oldCids, n.CID.Bytes())
		}
	}
	b.Queue(insertBlocks, aids, revs, cids, contents, commits)
	b.Queue(deleteBlocks, oldAids, oldRevs, oldCids, commits)
}

// startLayout starts a server on dir; a second start finds the data again, and
// nothing in memory.
func startLayout(t testing.TB, dir string) *embedded.Server {
	server, err := embedded.Start(t.Context(), dir, slog.New(slog.DiscardHandler), embedded.WithoutRestart(),
		// 100,000 commits take minutes here and hours in life: autovacuum looks as
		// much more often. Checkpoints come when we ask.
		embedded.Setting("autovacuum_naptime", "1s"), embedded.Setting("max_wal_size", "20GB"), embedded.Setting("checkpoint_timeout", "1h"))
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// layoutSize is the short or the long form.
func layoutSize() (repos, commits int) {
	if os.Getenv("LOCUS_BENCH_LAYOUT") == "long" {
		return 200, 100_000
	}
	return 40, 4_000
}

const layoutGroup = 16

func BenchmarkLayout(b *testing.B) {
	repos, commits := layoutSize()
	sim := simulate(b, repos, commits, layoutGroup)
	for _, l := range layouts {
		b.Run(l.name, func(b *testing.B) {
			for b.Loop() {
				l.measure(b, sim)
			}
		})
	}
}

func (l layout) measure(b *testing.B, sim *simulation) {
	dir, err := os.MkdirTemp("", "locus-layout-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	server := startLayout(b, dir)
	defer func() { _ = server.Stop() }()
	schema := prepareLayout(b, server.URL, l)
	sim.load(b, server.URL, schema, l)
	m := meter{b: b, url: server.URL, pid: server.Pid(), schema: schema, l: l}
	m.sizes("start")

	// A tenth warms up; then a checkpoint, after which each page's first change
	// is written whole; a fifth, then the rest.
	n := len(sim.commits)
	m.phase("", sim.commits[:n/10])
	m.checkpoint()
	m.phase("fpi-", sim.commits[n/10:n/10+n/5])
	m.phase("", sim.commits[n/10+n/5:])
	m.vacuumed()
	m.sizes("end")
	if l.table == "" {
		return
	}
	m.export("warm", sim)
	if err := server.Stop(); err != nil {
		b.Fatal(err)
	}
	server = startLayout(b, dir)
	m.url, m.pid = server.URL, server.Pid()
	m.cold(sim)
}

func prepareLayout(b *testing.B, url string, l layout) db.Schema {
	d, err := db.Open(b.Context(), db.Config{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := d.MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	schema := dbtest.Tenant(b, d)
	for _, sql := range l.ddl {
		execSQL(b, url, scoped(schema, sql))
	}
	return schema
}
