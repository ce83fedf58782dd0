package act_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// mortal is a deployment whose processes are killed: each reaches Postgres through a proxy of its own, and is dead from
// some round trip on.
type mortal struct {
	*house
	keys *keyring.Keyring
	url  string
	dir  string
	dids []string
	n    int // records written

	domain string            // of its accounts' handles
	nodes  map[string]string // further databases

	trips   int  // that the last job took which was not killed
	backups bool // its processes have a store of backups, and the stream steps over numbers
}

// living is a process.
type living struct {
	*act.Acts
	parts act.Parts
	jobs  *job.Runner
	proxy *dbtest.Proxy
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	return newMortalOn(t, dbtest.URL(t))
}

func newMortalOn(t *testing.T, url string) *mortal {
	t.Helper()
	return newMortalWith(t, url, nil)
}

// newMortalWith has further databases, by the names of their nodes.
func newMortalWith(t *testing.T, url string, nodes map[string]string) *mortal {
	t.Helper()
	m := &mortal{url: url, dir: t.TempDir(), nodes: nodes}
	m.unlock(t)
	m.house = newHouseOn(t, &house{t: t}, m.keys, dbtest.OpenNodes(t, m.url, nodes))
	m.domain = "test"
	for range 2 {
		m.opens()
	}
	return m
}

// unlock reads the deployment's master key, or makes it.
func (m *mortal) unlock(t *testing.T) {
	t.Helper()
	master, err := keyring.LoadOrCreateMaster(filepath.Join(m.dir, "master.key"))
	if err == nil {
		m.keys, err = keyring.New(master, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// process starts one.
func (m *mortal) process() *living {
	m.t.Helper()
	l := &living{proxy: dbtest.NewProxy(m.t, m.url)}
	d := dbtest.OpenNodes(m.t, l.proxy.URL(), m.nodes)
	now, log := m.now, slog.New(slog.DiscardHandler)
	p := act.Parts{DB: d, Keys: m.keys, Now: now, Log: log, Hub: firehose.NewHub(), Settled: time.Millisecond}
	p.Tenants = tenant.NewRegistry(d, m.keys, tenant.Config{Scheme: "http", Port: 2583, Dev: true}, now, log)
	p.Directory = plcdir.New(m.parts.DB, now, false) // another machine's
	p.Documents = identity.NewResolver(identity.ResolverConfig{Now: now, PLC: p.Directory})
	m.t.Cleanup(p.Documents.Close)
	p.Actors = account.NewCache(d, 0, now)
	p.Sessions = auth.NewSessions(d, m.keys, p.Actors, now)
	p.Repos = repodb.New(d, m.keys, now, log, repodb.Config{Hub: p.Hub})
	m.t.Cleanup(p.Repos.Close)
	p.Blobs = blob.New(d, m.keys, now, log, blob.Config{Stores: blob.StoreConfig{DataDir: m.dir}})
	m.t.Cleanup(p.Blobs.Close)
	p.Outbox = outbox.New(d, m.keys, p.Tenants, outbox.Config{}, now, log)
	l.Acts, l.parts, l.jobs = act.New(p), p, job.New(d, now, log)
	for _, k := range l.TenantJobs() {
		l.jobs.Register(k)
	}
	if m.backups {
		l.keeps(m)
	}
	return l
}

// strides says at which round trip the first process is killed, and how many later the next one is: a run tries some of
// all, and the next run others. With LOCUS_TEST_KILLS=all a run tries each.
func strides() (from, stride int) {
	if os.Getenv("LOCUS_TEST_KILLS") == "all" {
		return 1, 1
	}
	return 1 + rand.IntN(8), 8
}

// killed has a process do a job, kills it at its n-th round trip, before or after that has happened, and lets another one
// go on. It tells whether the process came so far. What was not even begun is begun anew, as its operator would.
func (m *mortal) killed(n int, after bool, spec func(*tenant.Tenant) job.Spec) (died bool) {
	m.t.Helper()
	ctx := m.t.Context()
	m.seconds.Add(1)
	began := m.now()
	first := m.process()
	defer first.parts.DB.Close() // its connections
	s := spec(m.now2())
	if _, err := first.parts.Tenants.ByID(ctx, s.TenantID); err != nil && s.TenantID != 0 {
		m.t.Fatal(err)
	}
	if after {
		first.proxy.DieAfter(n)
	} else {
		first.proxy.DieBefore(n)
	}
	before := first.proxy.Trips()
	err := first.untilDeath(ctx, s)
	if died = first.proxy.Disarm() > 0; !died {
		if err != nil {
			m.t.Fatalf("%s, %d: %v", s.Kind, n, err)
		}
		m.trips = int(first.proxy.Trips() - before)
		return false
	}
	m.goesOn(s, began, fmt.Sprintf("%s, killed at %d (after: %v)", s.Kind, n, after))
	return true
}

// untilDeath does a job. A process that was killed does not go on trying to clear up: its connections end at once.
func (l *living) untilDeath(ctx context.Context, s job.Spec) error {
	ended := make(chan error, 1)
	go func() {
		_, err := l.jobs.Do(ctx, s, nil)
		ended <- err
	}()
	for l.proxy.Cuts() == 0 {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Millisecond):
		}
	}
	l.parts.DB.Close()
	return <-ended
}

// goesOn has another process bring a job to its end that was begun at a time, when the claim of the dead one is over.
func (m *mortal) goesOn(s job.Spec, began time.Time, where string) {
	m.t.Helper()
	ctx := m.t.Context()
	m.seconds.Add(60)
	second := m.process()
	defer second.parts.DB.Close()
	open, err := second.jobs.List(ctx, job.Filter{TenantID: s.TenantID, Max: 1})
	if err != nil {
		m.t.Fatal(err)
	}
	if len(open) == 0 || open[0].Kind != s.Kind || open[0].Ended() && open[0].CreatedAt.Before(began) {
		if _, err := second.jobs.Do(ctx, s, nil); err != nil {
			m.t.Fatalf("%s: begun anew: %v", where, err)
		}
		return
	}
	run, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- second.jobs.Run(run) }()
	for {
		j, err := second.jobs.Get(ctx, open[0].ID)
		if err != nil {
			m.t.Fatal(err)
		}
		if j.State == job.Done {
			break
		}
		if j.Ended() {
			m.t.Fatalf("%s: %s: %s", where, j.State, j.Error)
		}
		time.Sleep(time.Millisecond)
	}
	end()
	<-ended
}

func (m *mortal) now2() *tenant.Tenant {
	m.t.Helper()
	if err := m.parts.Tenants.Refresh(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	t, err := m.parts.Tenants.ByID(m.t.Context(), m.tenant.ID)
	if err != nil {
		m.t.Fatal(err)
	}
	return t
}

// holds checks what holds after a job, wherever its first process died: what control says, that every repository is
// whole, what relays think of each account, and where its DID leads.
func (m *mortal) holds(where string, state tenant.State, status string) {
	m.t.Helper()
	ctx, now := m.t.Context(), m.now2()
	if now.State != state {
		m.t.Errorf("%s: the tenant is %s, not %s", where, now.State, state)
	}
	err := m.parts.Repos.CheckTenant(ctx, now.Schema, func(r repodb.Report) error {
		for _, p := range r.Problems {
			m.t.Errorf("%s: account %d: %s", where, r.AID, p)
		}
		return nil
	})
	if err != nil {
		m.t.Error(err)
	}
	seen := m.relay(where, now)
	for _, did := range m.dids {
		if seen[did] != status {
			m.t.Errorf("%s: relays think that %s is %q, not %q", where, did, seen[did], status)
		}
		doc, err := m.parts.Directory.Resolve(ctx, did)
		if err != nil || doc.PDS() != now.PublicURL {
			m.t.Errorf("%s: the DID leads to %+v, not to %s: %v", where, doc, now.PublicURL, err)
		}
	}
	open, err := job.New(m.parts.DB, m.now, slog.New(slog.DiscardHandler)).List(ctx, job.Filter{Open: true, Max: 1})
	if err != nil || len(open) != 0 {
		m.t.Errorf("%s: a job is left: %+v, %v", where, open, err)
	}
}

// relay reads all events as a relay does, and tells what it thinks of each account: its status, "" where it is active. A
// relay takes no commit of an account that it was told is not active.
func (m *mortal) relay(where string, now *tenant.Tenant) map[string]string {
	m.t.Helper()
	last, err := m.parts.DB.Tenant(now.Schema).Q().GetLastSeq(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	tails := firehose.NewTails(m.parts.DB, firehose.NewHub(), m.now, slog.New(slog.DiscardHandler), firehose.Config{})
	defer tails.Close()
	sub, err := tails.Subscribe(m.t.Context(), now.Schema, firehose.From{HasSeq: true})
	if err != nil {
		m.t.Fatal(err)
	}
	defer sub.Close()
	seen := map[string]string{}
	for at := int64(0); at < last; {
		items, err := sub.Next(m.t.Context(), nil)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, it := range items {
			f, err := firehose.Decode(it.Frame())
			if err != nil || f.Seq != at+1 && !(m.backups && f.Seq > at+firehose.JumpBy) {
				m.t.Fatalf("%s: behind %d comes %+v: %v", where, at, f, err)
			}
			at = f.Seq
			switch {
			case f.Kind == firehose.KindAccount && f.Active:
				seen[f.DID] = ""
			case f.Kind == firehose.KindAccount:
				seen[f.DID] = f.Status
			case f.Kind == firehose.KindCommit && seen[f.DID] != "":
				m.t.Errorf("%s: a commit of %s, which is %s", where, f.DID, seen[f.DID])
			}
		}
	}
	return seen
}

// write has each account write, as it does while its tenant is served.
func (m *mortal) write() {
	m.t.Helper()
	page, err := m.parts.Repos.ListRepos(m.t.Context(), m.tenant.Schema, 0, 10)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, one := range page {
		m.n++
		path := fmt.Sprintf("app.bsky.feed.post/r%09d", m.n)
		_, err := m.parts.Repos.Write(m.t.Context(), m.tenant.Schema, one.AID, repodb.Options{}, func(*repodb.View) ([]repo.Write, error) {
			return []repo.Write{{Action: repo.ActionCreate, Path: path, Record: post(path)}}, nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// A process that is killed at any statement of a job of a tenant's life, before or after that has happened, leaves it to
// another one, which brings it to its end: what is served, the repositories, what relays were told and where DIDs lead are
// then as they should be.
func TestKilledInALife(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	m.write()
	names := [2]string{m.tenant.Hostname, "other.test"}
	turn := 0
	steps := []struct {
		name   string
		spec   func(*tenant.Tenant) job.Spec
		state  tenant.State
		status string
	}{
		{"suspend", func(t *tenant.Tenant) job.Spec { return act.SuspendTenant(t, act.Operator{}, "a bill") }, tenant.Suspended, firehose.StatusSuspended},
		{"resume", func(t *tenant.Tenant) job.Spec { return act.ResumeTenant(t, act.Operator{}) }, tenant.Active, ""},
		{"rename", func(now *tenant.Tenant) job.Spec {
			spec, err := act.RenameTenant(now, act.Operator{}, names[(turn+1)%2], true, 1000)
			if err != nil {
				t.Fatal(err)
			}
			return spec
		}, tenant.Active, ""},
		{"delete", func(t *tenant.Tenant) job.Spec { return act.DeletionOf(t, act.Operator{}, "", m.now().Add(time.Hour)) }, tenant.Deleting, firehose.StatusDeleted},
		{"undelete", func(t *tenant.Tenant) job.Spec { return act.UndeleteTenant(t, act.Operator{}) }, tenant.Active, ""},
	}
	kills := map[string]int{}
	from, stride := strides()
	for n, alive := from, len(steps); alive > 0; n += stride {
		alive = 0
		for i, step := range steps {
			if m.killed(n, (n/stride+i)%2 == 0, step.spec) {
				alive++
				kills[step.name]++
			}
			if step.name == "rename" {
				if now := m.now2(); now.Hostname != names[(turn+1)%2] {
					t.Errorf("rename, killed at %d: it is called %s", n, now.Hostname)
				}
				turn++
			}
			m.holds(fmt.Sprintf("%s, killed at %d", step.name, n), step.state, step.status)
			if step.state == tenant.Active {
				m.write()
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	t.Logf("killed: %v", kills)
}

// opens opens an account.
func (m *mortal) opens() {
	m.t.Helper()
	did, err := m.account(len(m.dids))
	if err != nil {
		m.t.Fatal(err)
	}
	m.dids = append(m.dids, did)
}

func (m *mortal) account(n int) (did string, err error) {
	password := "a-good-password"
	did, _, err = m.CreateAccount(m.t.Context(), m.tenant, act.Operator{}, account.Request{Handle: fmt.Sprintf("user%d.%s", n, m.domain), Email: fmt.Sprintf("u%d@example.com", n), Password: &password})
	return did, err
}

const killEnv = "LOCUS_TEST_KILL_AT"

// Not of proxies' making: a process of its own deletes a tenant, and is killed by the system while it tells relays.
func TestKilledBySystem(t *testing.T) {
	if at := os.Getenv(killEnv); at != "" {
		dieAt(t, at)
		return
	}
	t.Parallel()
	dbtest.Plain(t, "the process that is killed is told one URL; on a cluster it is TestMoveWithinCitusEnds")
	m := newMortal(t)
	m.write()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledBySystem$")
	child.Env = append(os.Environ(), killEnv+"="+strings.Join([]string{m.url, m.dir, strconv.FormatInt(m.tenant.ID, 10)}, " "))
	out, err := child.CombinedOutput()
	if err == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v: %s", err, out)
	}
	open, err := m.process().jobs.List(t.Context(), job.Filter{TenantID: m.tenant.ID, Open: true, Max: 2})
	if err != nil || len(open) != 1 || open[0].State != job.Running {
		t.Fatalf("%+v: %v", open, err)
	}
	m.goesOn(job.Spec{Kind: act.JobDelete, TenantID: m.tenant.ID}, time.Time{}, "killed by the system")
	m.holds("killed by the system", tenant.Deleting, firehose.StatusDeleted)
}

// dieAt is the process that is killed.
func dieAt(t *testing.T, at string) {
	words := strings.Fields(at)
	id, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{house: &house{t: t}, url: words[0], dir: words[1]}
	m.unlock(t)
	m.parts.DB = dbtest.Open(t, m.url)
	me := m.process()
	one, err := me.parts.Tenants.ByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = me.jobs.Do(t.Context(), act.DeletionOf(one, act.Operator{}, "", m.now().Add(time.Hour)), func(j job.Job) {
		if j.Step == "telling relays" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	t.Fatal("nobody killed it: ", err)
}
