package act_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
)

// ownCity is a town on a cluster of its own, whose servers may be killed.
type ownCity struct {
	*town
	cluster *dbtest.OwnCitus
}

func newOwnCity(t *testing.T) *ownCity {
	c := dbtest.NewCitus(t)
	w := newTownOn(t, c.URL, nil, 4)
	w.fill(20)
	return &ownCity{w, c}
}

// member is the server of a worker's node.
func (c *ownCity) member(node int32) *dbtest.Member { return c.cluster.Workers[node-2] }

// ask asks one server about the town's database.
func ask[T any](t *testing.T, url, sql string, args ...any) (out T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// eventually waits for something that takes a moment.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in two minutes: " + what)
		}
	}
}

// Where a move is stopped: while Citus copies, and when it waits for the last writers.
var citusStops = map[string]struct{ holds, reached string }{
	// Logical decoding begins when every transaction that writes has ended.
	"copying": {"SELECT pg_catalog.txid_current()",
		"SELECT count(*) > 0 FROM pg_catalog.pg_replication_slots WHERE slot_name LIKE 'citus_shard_%'"},
	// It has the lock for itself when nobody has it who writes.
	"waiting for writers": {"SELECT locus_server.here('%s', true)",
		"SELECT count(*) > 0 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ExclusiveLock'"},
}

// held has a move stop there until the function is called that it gives.
func (c *ownCity) held(stop string, from int32) (release func()) {
	c.t.Helper()
	ctx := context.WithoutCancel(c.t.Context())
	conn, err := pgx.Connect(ctx, dbtest.Where(c.url, c.tenant.Schema.On(from)))
	if err != nil {
		c.t.Fatal(err)
	}
	holds := citusStops[stop].holds
	if strings.Contains(holds, "%s") {
		holds = fmt.Sprintf(holds, c.tenant.Schema)
	}
	for _, sql := range []string{"BEGIN", holds} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			c.t.Fatal(err)
		}
	}
	return func() { _ = conn.Close(ctx) } // its server may be dead
}

// reached waits until a move has come so far.
func (c *ownCity) reached(stop string, from int32) {
	c.t.Helper()
	url := dbtest.Where(c.url, c.tenant.Schema.On(from))
	eventually(c.t, "the move is "+stop, func() bool { return ask[bool](c.t, url, citusStops[stop].reached) })
}

// clean holds that nothing is left on any server of a move that was ended.
func (c *ownCity) clean() {
	c.t.Helper()
	if err := c.d.CleanAfterMove(c.t.Context()); err != nil {
		c.t.Error(err)
	}
	urls := append([]string{c.url}, slices.Collect(maps.Values(dbtest.Workers(c.url)))...)
	for what, sql := range map[string]string{
		"slots":         "SELECT count(*) FROM pg_catalog.pg_replication_slots",
		"subscriptions": "SELECT count(*) FROM pg_catalog.pg_subscription",
		"publications":  "SELECT count(*) FROM pg_catalog.pg_publication",
		"prepared":      "SELECT count(*) FROM pg_catalog.pg_prepared_xacts",
		"cleanup":       "SELECT count(*) FROM pg_catalog.pg_dist_cleanup",
	} {
		for _, url := range urls {
			eventually(c.t, "nothing is left of the move: "+what, func() bool { return ask[int](c.t, url, sql) == 0 })
		}
	}
}

// goOn lets another process do what is open, a minute later.
func (c *ownCity) goOn(id string) {
	c.t.Helper()
	d, r, _ := c.process()
	acts := act.NewTenantActs(d, r, time.Now)
	jobs := job.New(d, func() time.Time { return time.Now().Add(time.Hour) }, slog.New(slog.DiscardHandler))
	jobs.Register(acts.MoveJob(nil))
	run, end := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- jobs.Run(run) }()
	if j, err := jobs.Watch(c.t.Context(), id, nil); err != nil || j.State != job.Done {
		c.t.Errorf("%+v: %v", j, err)
	}
	end()
	<-ended
}

// open is the job that is not ended.
func (c *ownCity) open() string {
	c.t.Helper()
	list, err := job.New(c.d, time.Now, slog.New(slog.DiscardHandler)).List(c.t.Context(), job.Filter{TenantID: c.tenant.ID, Open: true, Max: 2})
	if err != nil || len(list) != 1 {
		c.t.Fatalf("%d jobs: %v", len(list), err)
	}
	return list[0].ID
}

// move begins one in this process.
func (c *ownCity) move(to string) (jobs *job.Runner, ended <-chan error) {
	c.t.Helper()
	d, r, _ := c.process()
	acts, jobs := runner(d, r, nil)
	spec, err := acts.StartMove(c.t.Context(), c.now2(r), act.Operator{}, to, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	out := make(chan error, 1)
	go func() {
		_, err := jobs.Do(c.t.Context(), spec, nil)
		out <- err
	}()
	return jobs, out
}

// A move that is cancelled while Citus works leaves everything as it was, and one whose process, worker or coordinator is
// killed comes to its end when they are back. No acknowledged write is lost, and nothing is left on the servers.
func TestMoveWithinCitusEnds(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	c := newOwnCity(t)
	for stop := range citusStops {
		for _, fault := range []string{"cancelled", "process killed", "source killed", "target killed", "coordinator killed"} {
			if t.Run(stop+", "+fault, func(t *testing.T) {
				defer func(t *testing.T) { c.t = t }(c.t)
				c.t = t
				c.ends(stop, fault)
			}); t.Failed() {
				return
			}
		}
	}
}

func (c *ownCity) ends(stop, fault string) {
	t := c.t
	_, r, stale := c.process()
	from := c.now2(r).NodeID
	to, name := other(from)
	c.tenant = c.now2(r)
	stopWriters := c.writers(c.parts.Repos, stale)
	release := c.held(stop, from)
	defer release()
	restart := func(m *dbtest.Member, ended <-chan error) {
		id := c.open()
		m.Kill()
		m.Restart()
		release()
		if err := <-ended; err == nil {
			t.Error("the move did not notice")
		} else {
			t.Log("the command says:", err)
		}
		c.goOn(id)
	}
	switch fault {
	case "process killed":
		child := c.child(t, to)
		c.reached(stop, from)
		id := c.open()
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // says that it was killed
		release()
		c.goOn(id)
	case "cancelled":
		jobs, ended := c.move(name)
		c.reached(stop, from)
		if _, err := jobs.Cancel(t.Context(), c.open()); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, job.ErrCancelled) {
			t.Error(err)
		}
		release()
		to = from
	case "source killed":
		_, ended := c.move(name)
		c.reached(stop, from)
		restart(c.member(from), ended)
	case "target killed":
		_, ended := c.move(name)
		c.reached(stop, from)
		restart(c.member(to), ended)
	case "coordinator killed":
		_, ended := c.move(name)
		c.reached(stop, from)
		restart(c.cluster.Coordinator, ended)
	}
	before := c.n.Load()
	eventually(c.t, "writers go on", func() bool { return c.n.Load() >= before+20 })
	refused := stopWriters()
	for _, err := range refused {
		if strings.HasPrefix(fault, "source") || strings.HasPrefix(fault, "coord") {
			if db.IsUnavailable(err) || errors.Is(err, db.ErrUnknownOutcome) {
				continue
			}
		}
		t.Error("a write was refused:", err)
	}
	t.Logf("%d writes were refused", len(refused))
	c.prove(to)
	c.clean()
}

const citusMoveEnv = "LOCUS_TEST_CITUS_MOVE"

// mover is what a process that is killed is told.
type mover struct {
	URL    string
	Nodes  map[string]string
	Tenant int64
	To     int32
}

// child is a process that moves the tenant.
func (c *ownCity) child(t *testing.T, to int32) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(mover{c.url, dbtest.Workers(c.url), c.tenant.ID, to})
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestCitusMover$")
	child.Env = append(os.Environ(), citusMoveEnv+"="+string(text))
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child
}

// Not a test by itself: the process that moves a tenant and is killed meanwhile.
func TestCitusMover(t *testing.T) {
	var m mover
	if text := os.Getenv(citusMoveEnv); text == "" {
		return
	} else if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	w := &town{house: &house{t: t}, url: m.URL, nodes: m.Nodes}
	d, r, _ := w.process()
	_, jobs := runner(d, r, nil)
	_, err := jobs.Do(t.Context(), job.Spec{Kind: act.JobMove, TenantID: m.Tenant, Args: act.Move{To: m.To}}, nil)
	t.Error("nobody killed it:", err)
}
