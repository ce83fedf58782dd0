package act_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/schema"
)

// olderBy is how many migrations the tenant lacks: the last ones that move rows from tables to tables are among them.
const olderBy = 4

// A process that is killed at any statement of a tenant's upgrade, in the background or before the tenant's first request,
// leaves it to another one. Nobody is served from a schema that is half of two versions, and afterwards schema and rows are
// what they are where nobody was killed.
func TestKilledInAnUpgrade(t *testing.T) {
	t.Parallel()
	dbtest.Plain(t, "databases are copied, which Citus's are not")
	m := newMortal(t)
	l := m.process()
	m.hasEverything(l, rand.New(rand.NewPCG(rand.Uint64(), 1)))
	l.parts.DB.Close()
	m.parts.DB.Close()
	conn := dial(t, m.url)
	now := snapshot(t, conn, m.tenant)
	for range olderBy {
		down(t, conn, m.tenant.Schema.String())
	}
	before := snapshot(t, conn, m.tenant)
	if before.shape == now.shape || before.version != now.version-olderBy {
		t.Fatalf("it is not older: version %d, not %d", before.version, now.version)
	}
	closed(t, conn)

	// Without a death: nothing is lost on the way down and up.
	var want state
	var trips int
	t.Run("lives", func(t *testing.T) {
		u := upgrade{mortal: m, t: t, before: before}
		want, trips = u.killedAt(1<<30, false, true)
		if want.shape != now.shape || want.version != now.version {
			t.Errorf("the schema: %s", cmp.Diff(strings.Split(now.shape, ";"), strings.Split(want.shape, ";")))
		}
		if diff := cmp.Diff(now.rows, want.rows); diff != "" {
			t.Errorf("rows: %s", diff)
		}
	})
	if t.Failed() {
		return
	}
	ats := someOf(trips)
	if len(ats) == 1 {
		for range 5 {
			ats = append(ats, 1+rand.IntN(trips))
		}
	}
	deaths := 0
	for _, n := range ats {
		after, background := rand.IntN(2) == 0, rand.IntN(2) == 0
		t.Run(fmt.Sprintf("%d of %d, after: %v, background: %v", n, trips, after, background), func(t *testing.T) {
			u := upgrade{mortal: m, t: t, before: before, want: &want}
			got, _ := u.killedAt(n, after, background)
			if u.died {
				deaths++
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(state{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	if deaths == 0 {
		t.Error("nobody was killed")
	}
}

// upgrade is one that somebody dies in.
type upgrade struct {
	*mortal
	t      *testing.T
	before state
	want   *state // nil: nobody has seen it yet
	died   bool
}

func (u *upgrade) registry(d *db.DB) *tenant.Registry {
	return tenant.NewRegistry(d, u.keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, u.now, slog.New(slog.DiscardHandler))
}

// killedAt has a process upgrade a copy of the database, kills it at its n-th round trip, and lets another one go on. It
// gives what there is then, and how many round trips the first one took.
func (u *upgrade) killedAt(n int, after, background bool) (got state, trips int) {
	t := u.t
	url := dbtest.CopyURL(t, u.url)
	proxy := dbtest.NewProxy(t, url)
	mortal := dbtest.Open(t, proxy.URL())
	first := u.registry(mortal)
	if one, err := first.ByID(t.Context(), u.tenant.ID); err != nil || !errors.Is(one.Usable(), tenant.ErrBehind) {
		t.Fatalf("%+v: %v", one, err)
	}
	if after {
		proxy.DieAfter(n)
	} else {
		proxy.DieBefore(n)
	}
	from := proxy.Trips()
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	served := make(chan error, 1)
	go func() {
		if background {
			served <- first.RunUpgrades(ctx)
			return
		}
		match, err := first.ByHost(ctx, u.tenant.Hostname)
		if err == nil {
			err = match.Usable()
		}
		served <- err
	}()
	answer, ended := error(nil), false
	for whole := false; proxy.Cuts() == 0 && !ended && !whole; {
		select {
		case answer = <-served:
			ended = true
		case <-time.After(time.Millisecond):
			one, err := first.ByID(ctx, u.tenant.ID)
			whole = background && err == nil && one.Usable() == nil
		}
	}
	trips = int(proxy.Trips() - from)
	conn := dial(t, url)
	defer closed(t, conn)
	if ended && answer == nil && !background && u.want != nil {
		if seen := snapshot(t, conn, u.tenant); seen.shape != u.want.shape {
			t.Error("it is served from what is half done")
		}
	}
	mortal.Close() // the system closes what is open of the dead
	hangUp()
	if !ended {
		answer = <-served
	}
	if u.died = proxy.Disarm() > 0; !u.died && answer != nil {
		t.Fatal(answer)
	}

	alive := dbtest.Open(t, url)
	second := u.registry(alive)
	// What another process makes of it before it goes on: behind, or whole.
	one, err := second.ByID(t.Context(), u.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	if one.Usable() == nil && u.want != nil && snapshot(t, conn, u.tenant).shape != u.want.shape || one.Usable() != nil && !errors.Is(one.Usable(), tenant.ErrBehind) {
		t.Errorf("another process would serve it as %s: %v", one.State, one.Usable())
	}
	run, end := context.WithCancel(t.Context())
	defer end()
	ran := make(chan error, 1)
	go func() { ran <- second.RunUpgrades(run) }()
	for one.Usable() != nil {
		time.Sleep(time.Millisecond)
		if one, err = second.ByID(t.Context(), u.tenant.ID); err != nil {
			t.Fatal(err)
		}
	}
	end()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	var left int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND l.locktype = 'advisory'").Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d locks are left: %v", left, err)
	}
	alive.Close()
	return snapshot(t, conn, u.tenant), trips
}

// state is a tenant's schema, its rows, and what control says of it.
type state struct {
	shape   string
	rows    map[string][]string
	version int64
	control string
}

func snapshot(t *testing.T, conn *pgx.Conn, of *tenant.Tenant) (s state) {
	t.Helper()
	ctx, name := t.Context(), of.Schema.String()
	err := conn.QueryRow(ctx, `SELECT string_agg(concat_ws(' ', c.relname, c.relkind, c.relpersistence, c.reltoastrelid <> 0, c.reloptions, a.attname, a.atttypid::regtype, a.atttypmod, a.attstorage, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), ';' ORDER BY c.relname, a.attname)
		|| (SELECT string_agg(pg_get_indexdef(indexrelid), ';' ORDER BY pg_get_indexdef(indexrelid)) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE x.relnamespace = $1::regnamespace AND indisvalid)
		|| (SELECT string_agg(concat_ws(' ', conname, pg_get_constraintdef(oid)), ';' ORDER BY conname) FROM pg_constraint WHERE connamespace = $1::regnamespace)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relnamespace = $1::regnamespace`, name).Scan(&s.shape)
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT max(version_id) FROM "+name+".goose_db_version").Scan(&s.version)
	}
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT concat_ws(' ', version, needs, state, upgrade_error, (SELECT string_agg(url, ' ' ORDER BY url) FROM control.crawler c WHERE c.tenant_id = t.tenant_id))
			FROM control.tenant t WHERE tenant_id = $1`, of.ID).Scan(&s.control)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 AND tablename <> 'goose_db_version'", name)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	s.rows = map[string][]string{}
	for _, table := range tables {
		rows, err := conn.Query(ctx, "SELECT to_jsonb(t)::text FROM "+name+"."+table+" t")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range lines {
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(row) // columns in order
			if err != nil {
				t.Fatal(err)
			}
			lines[i] = string(text)
		}
		slices.Sort(lines)
		s.rows[table] = lines
	}
	return s
}

// down takes a tenant's newest migration back, as the version before had it.
func down(t *testing.T, conn *pgx.Conn, name string) {
	t.Helper()
	var version int64
	if err := conn.QueryRow(t.Context(), "SELECT max(version_id) FROM "+name+".goose_db_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	files := schema.Tenant(name)
	found, err := fs.Glob(files, fmt.Sprintf("%05d_*.sql", version))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	f, err := files.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_, back, ok := strings.Cut(string(text), "-- +goose Down\n")
	if !ok {
		t.Fatal(found[0], "has no way back")
	}
	back += fmt.Sprintf("\nDELETE FROM %s.goose_db_version WHERE version_id = %d; UPDATE control.tenant SET version = %d, needs = 0 WHERE schema_name = '%s';", name, version, version-1, name)
	if _, err := conn.PgConn().Exec(t.Context(), back).ReadAll(); err != nil {
		t.Fatalf("%s: %v", found[0], err)
	}
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func closed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if err := conn.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
