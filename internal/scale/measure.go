package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/freeport"
	"github.com/auroralocus/locus/internal/tenant"
)

// plan says how long what is measured.
type plan struct {
	at                  []int
	span, idle          time.Duration
	subscribers, active int
	neighbours          neighbours
	only                string
	pace                time.Duration
	spares              int
	sparesApart         time.Duration
}

// field is a server on a filled database.
type field struct {
	*deployment
	plan
	dir      string
	client   *http.Client
	cmd      *exec.Cmd
	count    int // tenants
	ended    chan struct{}
	upstream string // where the app view is
	address  string // where the server is
	locus    string // the server's program
}

func (f *field) say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func measure(ctx context.Context, dir, locus string, p plan) (err error) {
	d, err := open(ctx, dir, db.Sizes{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	all, err := d.tenants.List(ctx)
	if err != nil {
		return err
	}
	if locus == "" {
		locus = filepath.Join(dir, "locus")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", locus, "./cmd/locus").CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	f, err := newField(d, p, dir)
	if err != nil {
		return err
	}
	f.count, f.locus = len(all), locus
	f.say("%d tenants", f.count)
	if p.neighbours.only {
		if err := f.start(ctx, locus); err != nil {
			return err
		}
		defer f.stop()
		return f.besides(ctx)
	}
	if err := f.catalogue(ctx); err != nil {
		return err
	}
	if err := f.start(ctx, locus); err != nil {
		return err
	}
	defer f.stop()
	steps := []struct {
		name string
		do   func(context.Context) error
	}{{"idle", f.watchIdle}, {"subscribers", f.watchSubscribers}, {"active", f.active}, {"", f.besides}, {"making", f.makings}, {"dump", f.dump}, {"crash", f.crash}}
	for _, step := range steps {
		if p.only != "" && p.only != step.name {
			continue
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

func newField(d *deployment, p plan, dir string) (*field, error) {
	f := &field{deployment: d, plan: p, dir: dir}
	for _, a := range []*string{&f.upstream, &f.address} {
		var err error
		if *a, err = freeport.Address(); err != nil {
			return nil, err
		}
	}
	f.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, f.address)
	}}}
	return f, nil
}

// catalogue tells what so many tenants are to Postgres.
func (f *field) catalogue(ctx context.Context) error {
	c, err := pgx.Connect(ctx, f.server.URL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	var relations, attributes, catalogue, whole int64
	err = c.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute),
(SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r')::bigint, pg_database_size(current_database())`).
		Scan(&relations, &attributes, &catalogue, &whole)
	if err != nil {
		return err
	}
	f.say("%d relations, %d attributes, catalogue %d MB (%d KB a tenant), database %d MB (%d KB a tenant)", relations, attributes,
		catalogue>>20, catalogue>>10/int64(f.count), whole>>20, whole>>10/int64(f.count))
	return nil
}

func (f *field) start(ctx context.Context, locus string) error {
	out, err := os.Create(filepath.Join(f.dir, "server.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	f.cmd = exec.Command(locus, "serve", "--listen", f.address, "--connections", "30000")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOCUS_") {
			f.cmd.Env = append(f.cmd.Env, v)
		}
	}
	f.cmd.Env = append(f.cmd.Env, "LOCUS_DATABASE_URL="+f.server.URL, "LOCUS_DATA_DIR="+f.dir, "LOCUS_PLC_URL=http://127.0.0.1:1",
		"LOCUS_PUBLIC_SCHEME=http", fmt.Sprintf("LOCUS_PUBLIC_PORT=%d", port), "LOCUS_DEV_NAMES=1",
		"LOCUS_SPARE_SCHEMAS=0", // this program makes them when it is measured
		"LOCUS_PRIVATE_HOSTS="+f.upstream, "LOCUS_APP_VIEW=did:web:upstream.test#bsky_appview=http://"+f.upstream, "LOCUS_DEBUG_LISTEN="+f.plan.neighbours.debug)
	f.cmd.Stdout, f.cmd.Stderr = out, out
	ownSession(f.cmd)
	began := time.Now()
	if err := f.cmd.Start(); err != nil {
		return err
	}
	f.ended = make(chan struct{})
	go func() { defer close(f.ended); _ = f.cmd.Wait() }()
	go f.shareGroups()
	if err := f.served(ctx, hostname(1)); err != nil {
		return err
	}
	took := time.Since(began)
	f.say("a server starts and answers in %s; it takes %d MB", took.Round(time.Millisecond), memory(f.cmd.Process.Pid)>>20)
	return nil
}

// served waits until a tenant is served.
func (f *field) served(ctx context.Context, host string) error {
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(5 * time.Millisecond) {
		if err := f.get(ctx, host, "/xrpc/com.atproto.server.describeServer"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ended:
			return fmt.Errorf("the server has ended: see %s", filepath.Join(f.dir, "server.log"))
		default:
		}
	}
	return fmt.Errorf("%s is not served: see %s", host, filepath.Join(f.dir, "server.log"))
}

func (f *field) stop() {
	_ = f.cmd.Process.Signal(syscall.SIGTERM)
	<-f.ended
}

// watchIdle tells what a server costs that nobody asks anything.
func (f *field) watchIdle(ctx context.Context) error { return f.watch(ctx, "idle") }

func (f *field) watch(ctx context.Context, what string) error {
	time.Sleep(10 * time.Second) // what the start began is over
	c, err := pgx.Connect(ctx, f.server.URL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	statements := func() (n int64) {
		_ = c.QueryRow(ctx, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
		return n
	}
	own, theirs, before := processCPU(f.cmd.Process.Pid), treeCPU(f.server.Pid()), statements()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.idle):
	}
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / f.idle.Seconds() }
	f.say("%s: the server takes %.2f %% of a core, Postgres %.2f %%; %d transactions a minute; memory %d MB and %d MB", what,
		share(processCPU(f.cmd.Process.Pid)-own), share(treeCPU(f.server.Pid())-theirs), int64(float64(statements()-before)/f.idle.Minutes()),
		memory(f.cmd.Process.Pid)>>20, treeMemory(f.server.Pid())>>20)
	return nil
}

// watchSubscribers is the same with subscribers of streams that stand still.
func (f *field) watchSubscribers(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var open atomic.Int64
	var ended sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	places := make(chan struct{}, 64)
	var dialling sync.WaitGroup
	for i := range f.subscribers {
		places <- struct{}{}
		dialling.Add(1)
		ended.Go(func() {
			c, _, err := websocket.Dial(ctx, "ws://"+hostname(i%f.count+1)+"/xrpc/com.atproto.sync.subscribeRepos", &websocket.DialOptions{HTTPClient: f.client})
			<-places
			dialling.Done()
			if err != nil {
				return
			}
			open.Add(1)
			defer open.Add(-1)
			defer c.CloseNow()
			for { // answers pings
				if _, _, err := c.Read(ctx); err != nil {
					return
				}
			}
		})
	}
	dialling.Wait()
	if err := f.watch(ctx, fmt.Sprintf("%d idle subscribers", open.Load())); err != nil {
		return err
	}
	if n := open.Load(); n < int64(f.subscribers) {
		f.say("%d of them stayed", n)
	}
	return nil
}

// create tells how long a new tenant takes, and is served.
func (f *field) create(ctx context.Context) (made, served time.Duration, err error) {
	f.count++
	began := time.Now()
	_, err = f.tenants.Create(ctx, tenant.Spec{Hostname: hostname(f.count), HandleDomains: []string{fmt.Sprintf("t%05d.test", f.count)}})
	if err != nil {
		return 0, 0, err
	}
	made = time.Since(began)
	err = f.served(ctx, hostname(f.count))
	return made, time.Since(began), err
}

// dump is a backup of one tenant with Postgres's own program.
func (f *field) dump(ctx context.Context) error {
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err != nil || len(bin) == 0 {
		f.say("pg_dump is not here")
		return nil
	}
	began := time.Now()
	cmd := exec.CommandContext(ctx, bin[len(bin)-1], "-n", "t_1", "-Fc", "-f", filepath.Join(f.dir, "dump"), f.server.URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_dump: %w\n%s", err, out)
	}
	f.say("pg_dump of one tenant among them: %s", time.Since(began).Round(10*time.Millisecond))
	return nil
}

// crash kills Postgres, and waits until it is there again and the server serves.
func (f *field) crash(ctx context.Context) error {
	began := time.Now()
	if err := f.server.Kill(); err != nil {
		return err
	}
	for {
		c, err := pgx.Connect(ctx, f.server.URL)
		if err == nil {
			c.Close(ctx)
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
	back := time.Since(began)
	w, err := f.writers(ctx, 1)
	if err != nil {
		return err
	}
	for f.write(ctx, w[0]) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.say("Postgres killed: it answers after %s, the server writes after %s", back.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	return nil
}
