package act_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// town is a house with a second database, and what works in it as another process does.
type town struct {
	*house
	d     *db.DB
	keys  *keyring.Keyring
	url   string
	nodes map[string]string
	aids  []int64
	acked sync.Map // path → account's number, of records whose write was acknowledged
	n     atomic.Int64
}

func newTown(t *testing.T, second string, accounts int) *town {
	t.Helper()
	var nodes map[string]string
	if second != "" {
		nodes = map[string]string{"second": second}
	}
	return newTownOn(t, dbtest.URL(t), nodes, accounts)
}

func newTownOn(t *testing.T, url string, nodes map[string]string, accounts int) *town {
	t.Helper()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{keys: keys, url: url, nodes: nodes}
	w.d = dbtest.OpenNodes(t, w.url, w.nodes)
	w.house = newHouseOn(t, &house{t: t}, keys, w.d)
	if nodes["second"] != "" {
		if _, err := w.AddNode(t.Context(), act.Operator{}, "second", true, ""); err != nil {
			t.Fatal(err)
		}
	}
	password := "a-good-password"
	for i := range accounts {
		_, _, err := w.CreateAccount(t.Context(), w.tenant, act.Operator{}, account.Request{Handle: fmt.Sprintf("user%d.test", i), Email: fmt.Sprintf("u%d@example.com", i), Password: &password})
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.parts.Repos.ListRepos(t.Context(), w.tenant.Schema, 0, accounts)
	if err != nil || len(list) != accounts {
		t.Fatalf("%d repositories: %v", len(list), err)
	}
	for _, one := range list {
		w.aids = append(w.aids, one.AID)
	}
	return w
}

// process is another process on the same databases.
func (w *town) process() (*db.DB, *tenant.Registry, *repodb.Store) {
	d := dbtest.OpenNodes(w.t, w.url, w.nodes)
	log := slog.New(slog.DiscardHandler)
	store := repodb.New(d, w.keys, time.Now, log, repodb.Config{Hub: firehose.NewHub()})
	w.t.Cleanup(store.Close)
	return d, tenant.NewRegistry(d, w.keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, time.Now, log), store
}

// runner does moves in a process.
func runner(d *db.DB, r *tenant.Registry, at func(context.Context, string) error) (*act.TenantActs, *job.Runner) {
	acts := act.NewTenantActs(d, r, time.Now)
	jobs := job.New(d, time.Now, slog.New(slog.DiscardHandler))
	jobs.Register(acts.MoveJob(at))
	return acts, jobs
}

func post(text string) []byte {
	b := dagcbor.AppendMapHead(nil, 3)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "text"), text)
	b = dagcbor.AppendText(dagcbor.AppendText(b, "$type"), "app.bsky.feed.post")
	return dagcbor.AppendText(dagcbor.AppendText(b, "createdAt"), "2026-01-01T00:00:00.000Z")
}

// write creates a record, and now and then deletes one of its own.
func (w *town) write(ctx context.Context, store *repodb.Store, schema db.Schema, last *string) error {
	n := w.n.Add(1)
	aid := w.aids[int(n)%len(w.aids)]
	path := fmt.Sprintf("app.bsky.feed.post/r%09d", n)
	_, err := store.Write(ctx, schema, aid, repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
		return []repo.Write{{Action: repo.ActionCreate, Path: path, Record: post(path)}}, nil
	})
	if err != nil {
		return err
	}
	w.acked.Store(path, aid)
	if n%3 != 0 || *last == "" {
		*last = path
		return nil
	}
	old := *last
	*last = ""
	was, _ := w.acked.LoadAndDelete(old) // also where nobody knows whether it is deleted
	_, err = store.Write(ctx, schema, was.(int64), repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
		return []repo.Write{{Action: repo.ActionDelete, Path: old}}, nil
	})
	return err
}

// writers write until stop is called, which tells how many writes failed. They know the tenant's schema as it was when
// they began.
func (w *town) writers(stores ...*repodb.Store) (stop func() []error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	schema := w.tenant.Schema
	for _, store := range stores {
		for range 2 {
			group.Go(func() {
				last := ""
				for ctx.Err() == nil {
					if err := w.write(context.WithoutCancel(ctx), store, schema, &last); err != nil {
						mu.Lock()
						failed = append(failed, err)
						mu.Unlock()
					}
					time.Sleep(5 * time.Millisecond) // so that there is not ever more to prove
				}
			})
		}
	}
	return func() []error { cancel(); group.Wait(); return failed }
}

// prove holds that the tenant is whole where it is: repositories, counters, stream, and every acknowledged record.
func (w *town) prove(node int32) {
	w.t.Helper()
	ctx := w.t.Context()
	_, r, store := w.process()
	now, err := r.Get(ctx, w.tenant.Hostname)
	if err != nil || now.NodeID != node {
		w.t.Fatalf("the tenant is on node %d, want %d: %v", now.NodeID, node, err)
	}
	err = store.CheckTenant(ctx, now.Schema, func(r repodb.Report) error {
		for _, p := range r.Problems {
			w.t.Errorf("account %d: %s", r.AID, p)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	there := map[string]bool{}
	for _, aid := range w.aids {
		for after := ""; ; {
			page, err := store.ListRecords(ctx, now.Schema, aid, "app.bsky.feed.post", after, 500, 1<<20, true)
			if err != nil {
				w.t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, one := range page {
				there[one.Path] = true
			}
			after = strings.TrimPrefix(page[len(page)-1].Path, "app.bsky.feed.post/")
		}
	}
	w.acked.Range(func(path, aid any) bool {
		if !there[path.(string)] {
			w.t.Errorf("an acknowledged record is lost: %s of %d", path, aid)
		}
		return true
	})
}

func (w *town) fill(n int) {
	w.t.Helper()
	last := ""
	for range n {
		if err := w.write(w.t.Context(), w.parts.Repos, w.tenant.Schema, &last); err != nil {
			w.t.Fatal(err)
		}
	}
}

// seen follows the stream until stop, which gives the numbers.
func (w *town) seen() (stop func(upTo int64) []int64) {
	tails := firehose.NewTails(w.d, w.parts.Hub, time.Now, slog.New(slog.DiscardHandler), firehose.Config{})
	w.t.Cleanup(tails.Close)
	sub, err := tails.Subscribe(w.t.Context(), w.tenant.Schema, firehose.From{HasSeq: true})
	if err != nil {
		w.t.Fatal(err)
	}
	var seqs []int64
	var upTo atomic.Int64
	ended := make(chan error, 1)
	go func() {
		defer sub.Close()
		for {
			if end := upTo.Load(); end > 0 && len(seqs) > 0 && seqs[len(seqs)-1] >= end {
				ended <- nil
				return
			}
			kick := make(chan struct{})
			timer := time.AfterFunc(100*time.Millisecond, func() { close(kick) })
			items, err := sub.Next(w.t.Context(), kick)
			timer.Stop()
			if err != nil {
				ended <- err
				return
			}
			for _, it := range items {
				seqs = append(seqs, it.Seq)
			}
		}
	}()
	return func(last int64) []int64 {
		upTo.Store(last)
		if err := <-ended; err != nil {
			w.t.Error("subscriber:", err)
		}
		return seqs
	}
}

// A tenant moves to another server while two processes write to it, one of which learns of it only by what fails. No write
// is refused, none that was acknowledged is lost, and a subscriber gets every event once.
func TestMoveTenant(t *testing.T) {
	dbtest.Plain(t, "it moves between servers that are no cluster; within one it is TestMoveWithinCitus")
	other := dbtest.Durable(t)
	w := newTown(t, other.URL(), 4)
	w.fill(200)
	stopSeen := w.seen()
	_, _, stale := w.process()
	stop := w.writers(w.parts.Repos, stale)
	d, r, _ := w.process()
	acts, jobs := runner(d, r, nil)
	spec, err := acts.StartMove(t.Context(), w.tenant, act.Operator{}, "second", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	j, err := jobs.Do(t.Context(), spec, nil)
	if err != nil || j.State != job.Done {
		t.Fatalf("%+v: %v", j, err)
	}
	t.Logf("%s", j.Result)
	var moved act.Moved
	if err := j.Into(&moved); err != nil || moved.Checked != len(w.aids) {
		t.Errorf("%d repositories are said to have been proved: %v", moved.Checked, err)
	}
	before := w.n.Load()
	for w.n.Load() < before+20 { // they go on in the new place
		time.Sleep(time.Millisecond)
	}
	for _, err := range stop() {
		t.Error("a write was refused:", err)
	}
	w.prove(2)
	last, err := w.d.Tenant(w.tenant.Schema.On(2)).Q().GetLastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, seq := range stopSeen(last) {
		if seq != int64(i)+1 {
			t.Fatalf("event %d has number %d", i+1, seq)
		}
	}
	// The copy that is left behind goes when its time is over, and the tenant can come back.
	spec, err = acts.StartMove(t.Context(), w.now2(r), act.Operator{}, tenant.HomeName, 0)
	if err != nil {
		t.Fatal(err)
	}
	if j, err := jobs.Do(t.Context(), spec, nil); err != nil {
		t.Fatalf("%+v: %v", j, err)
	}
	w.prove(1)
	if err := r.RemoveNode(t.Context(), "second"); err != nil {
		t.Error("the node is not empty:", err)
	}
}

func (w *town) now2(r *tenant.Registry) *tenant.Tenant {
	w.t.Helper()
	one, err := r.Get(w.t.Context(), w.tenant.Hostname)
	if err != nil {
		w.t.Fatal(err)
	}
	return one
}

var moveSteps = []string{"prepared", "copied", "caught up", "checked", "fenced", "finished"}

// A move whose process ends at any step is ended by another one; behind the decision, writers need not wait for that.
func TestMoveGoesOn(t *testing.T) {
	dbtest.Plain(t, "it moves between servers that are no cluster; within one it is TestMoveWithinCitus")
	w := newTown(t, dbtest.EmptyURL(t), 2)
	w.fill(20)
	node := int32(1)
	for _, step := range moveSteps {
		stop := w.writers(w.parts.Repos)
		ctx, die := context.WithCancel(t.Context())
		d, r, _ := w.process()
		acts, jobs := runner(d, r, func(_ context.Context, at string) error {
			if at == step {
				die()
				return ctx.Err()
			}
			return nil
		})
		to := map[int32]string{1: "second", 2: tenant.HomeName}[node]
		spec, err := acts.StartMove(t.Context(), w.now2(r), act.Operator{}, to, 0)
		if err != nil {
			t.Fatal(step, err)
		}
		j, err := jobs.Do(ctx, spec, nil)
		if err == nil {
			t.Fatalf("%s: it was not stopped", step)
		}
		id := j.ID
		before := w.n.Load()
		for w.n.Load() < before+4 { // nobody waits for the job
			time.Sleep(time.Millisecond)
		}
		d, r, _ = w.process()
		_, jobs = runner(d, r, nil)
		again, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- jobs.Run(again) }()
		if j, err = jobs.Watch(t.Context(), id, nil); err != nil || j.State != job.Done {
			t.Errorf("%s: %+v: %v", step, j, err)
		}
		end()
		<-ended
		for _, err := range stop() {
			t.Errorf("%s: a write was refused: %v", step, err)
		}
		node = 3 - node
		w.prove(node)
	}
}

// A move that is cancelled at any step leaves everything as it was; behind the decision it comes to its end.
func TestMoveIsCancelled(t *testing.T) {
	dbtest.Plain(t, "it moves between servers that are no cluster; within one it is TestMoveWithinCitus")
	w := newTown(t, dbtest.EmptyURL(t), 2)
	w.fill(20)
	for _, step := range moveSteps {
		d, r, _ := w.process()
		var acts *act.TenantActs
		var jobs *job.Runner
		acts, jobs = runner(d, r, func(ctx context.Context, at string) error {
			if at != step {
				return nil
			}
			list, err := jobs.List(t.Context(), job.Filter{Open: true, Max: 1})
			if err != nil || len(list) != 1 {
				return errors.Join(err, errors.New("no job"))
			}
			if _, err := jobs.Cancel(t.Context(), list[0].ID); err != nil || at == "fenced" || at == "finished" {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		spec, err := acts.StartMove(t.Context(), w.now2(r), act.Operator{}, "second", 0)
		if err != nil {
			t.Fatal(step, err)
		}
		j, err := jobs.Do(t.Context(), spec, nil)
		after := step == "fenced" || step == "finished"
		if after && err != nil || !after && !errors.Is(err, job.ErrCancelled) {
			t.Fatalf("%s: %+v: %v", step, j, err)
		}
		node := int32(1)
		if after {
			node = 2
		}
		w.prove(node)
		if after { // and back
			if spec, err = acts.StartMove(t.Context(), w.now2(r), act.Operator{}, tenant.HomeName, 0); err != nil {
				t.Fatal(err)
			}
			step = ""
			if _, err := jobs.Do(t.Context(), spec, nil); err != nil {
				t.Fatal(err)
			}
		}
		n, err := r.Node(t.Context(), "second")
		if err != nil || n.Tenants+n.Moves+n.Leftovers != 0 {
			t.Errorf("%s: %+v: %v", step, n, err)
		}
	}
}
