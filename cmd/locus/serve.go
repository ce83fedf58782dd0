package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"

	"golang.org/x/sync/errgroup"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/admin"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/due"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/metrics"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/web/console"
)

type serveCmd struct {
	dataFlags
	backupStoreFlags
	originFlags
	mailFlags
	outsideFlags
	servicesFlags
	poolFlags
	tlsFlags
	nightlyFlags
	traceFlags
	Dev           bool          `help:"Development: built-in PLC directory, .test handles, tenants localhost and beta.localhost with an account in each, mail in the log, loopback only."`
	Listen        string        `placeholder:"ADDR" help:"Address to listen on; default: ${default}." default:"127.0.0.1:2583" env:"LOCUS_LISTEN"`
	PLCListen     string        `name:"plc-listen" placeholder:"ADDR" help:"Address of the built-in PLC directory's HTTP face (--dev); default: ${default}." default:"127.0.0.1:2582" env:"LOCUS_PLC_LISTEN"`
	DebugListen   string        `placeholder:"ADDR" help:"Address of Go's profiler, /debug/pprof/, on loopback only; off by default." env:"LOCUS_DEBUG_LISTEN"`
	AdminListen   string        `placeholder:"ADDR" help:"Address of what machines ask about this process: /livez, /readyz, and /metrics for Prometheus; people find the handbook there at /docs/, and operators the dashboard at /admin, to which they sign in. Nobody is asked for a password for the rest, so keep it off the internet; off by default." env:"LOCUS_ADMIN_LISTEN"`
	DashboardURL  string        `name:"dashboard-url" placeholder:"URL" help:"Where browsers find the dashboard, as https://admin.example.com: a proxy leads from there to /admin of --admin-listen. Without it the dashboard is served at addresses and as localhost." env:"LOCUS_DASHBOARD_URL"`
	DrainDelay    time.Duration `placeholder:"TIME" help:"After SIGTERM: how long /readyz says that this process is draining before it stops taking connections. Give it the time that a balancer needs to notice; default: ${default}." default:"0s" env:"LOCUS_DRAIN_DELAY"`
	Operators     string        `name:"operator-listen" placeholder:"ADDR" help:"Address of the operator API (docs/operator-api.md); without a host in it, on loopback. Callers bring tokens ('locus token create'); put TLS in front of anything but loopback. Off by default." env:"LOCUS_OPERATOR_LISTEN"`
	OperatorsHost string        `name:"operator-hostname" placeholder:"HOSTNAME" help:"Hostname under which the operator API is served where tenants are; no tenant may have it. Off by default." env:"LOCUS_OPERATOR_HOSTNAME"`
	Connections   int           `placeholder:"N" help:"Connections that may be open at once. Beyond it those that are idle are closed, the longest idle first, and only then new ones refused; default: ${default}." default:"10000" env:"LOCUS_CONNECTIONS"`
	PerAddress    int           `name:"connections-per-address" placeholder:"N" help:"Of them, those of one address (of IPv6: one /64). Trusted proxies and WebSockets do not count; default: ${default}." default:"500" env:"LOCUS_CONNECTIONS_PER_ADDRESS"`
	AnswerMemory  int64         `placeholder:"MIB" help:"Memory for the answers that are being made and read, of all together. Beyond it a call waits, and is then refused with 503; tenants and addresses share it; default: ${default}." default:"256" env:"LOCUS_ANSWER_MEMORY"`
	Trusted       string        `name:"trusted-proxies" placeholder:"LIST" help:"Who is believed in X-Forwarded-For: addresses, networks (192.0.2.0/24), loopback, private (which holds clients of your own network, too), none; default: ${default}." default:"loopback,private" env:"LOCUS_TRUSTED_PROXIES"`
	Metered       string        `name:"metrics-tenants" placeholder:"LIST" help:"Tenants that /metrics has numbers of: hostnames separated by commas, busiest:N for so many of those that are asked most, or both; default: none." env:"LOCUS_METRICS_TENANTS"`
	Access        string        `name:"access-log" placeholder:"CHOICE" help:"Requests that get a line in the log: all, 1/N for one in so many, errors for those that failed here (which 1/N has, too), off; default: ${default}. SIGHUP reads it again." default:"errors" env:"LOCUS_ACCESS_LOG"`
	AdminPassword string        `placeholder:"TEXT" help:"Password of user admin on the tenants that --dev makes; default: ${default}." default:"admin-pass" env:"LOCUS_ADMIN_PASSWORD"`
}

// Run listens, assembles, and runs until it is asked to end.
func (c *serveCmd) Run(ctx context.Context, l *logs) error {
	roomyHeap()
	fair.Crowd()
	fair.ShortTurns()
	log := l.Logger
	proxies, err := c.check()
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1) // from here on it ends nothing
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	// Listening comes before anything is started or written: a second server must not get far.
	at, err := c.listen()
	defer at.close()
	if err != nil {
		return err
	}
	who, err := findSupervisor()
	if err != nil {
		log.Warn("the supervisor that started this process hears nothing", "err", err)
	}
	s := serving{listeners: at, proxies: proxies, log: log, logs: l, who: who, health: newHealth(), over: make(chan struct{})}
	s.later(func() { close(s.over) })
	defer s.close()
	defer s.faceMachines(c.Metered)()
	if err := s.assemble(ctx, c); err != nil {
		return err
	}
	return s.run(ctx, c, hangup)
}

// check refuses flags that cannot be meant, before anything is done.
func (c *serveCmd) check() (inbound.Proxies, error) {
	var none inbound.Proxies
	if c.Dev {
		if err := loopbackOnly("--dev", c.Listen, c.PLCListen); err != nil {
			return none, err
		}
		if c.PublicScheme != "" || c.PublicPort != nil {
			return none, errors.New("--dev is reached by http where it listens: leave out --public-scheme and --public-port (LOCUS_PUBLIC_SCHEME, LOCUS_PUBLIC_PORT)")
		}
	}
	if err := c.tlsFlags.check(c.Dev); err != nil {
		return none, err
	}
	if _, err := c.directory(""); err != nil {
		return none, err
	}
	if c.DebugListen != "" {
		if err := loopbackOnly("--debug-listen", c.DebugListen); err != nil {
			return none, err
		}
	}
	if strings.ContainsAny(c.OperatorsHost, ":/ ") || c.OperatorsHost != strings.ToLower(c.OperatorsHost) {
		return none, errors.New("--operator-hostname is a hostname in lower case, without scheme and port")
	}
	if err := console.CheckURL(c.DashboardURL); err != nil {
		return none, fmt.Errorf("--dashboard-url or LOCUS_DASHBOARD_URL: %w", err)
	}
	if c.Connections < 1 || c.PerAddress < 1 {
		return none, errors.New("--connections and --connections-per-address must be at least 1")
	}
	if c.AnswerMemory<<20 < xrpc.LeastAnswerMemory {
		return none, fmt.Errorf("--answer-memory must be at least %d", xrpc.LeastAnswerMemory>>20)
	}
	if _, err := c.sizes(); err != nil {
		return none, err
	}
	if _, _, err := c.nightlyFlags.check(c.mailFlags); err != nil {
		return none, err
	}
	if _, err := c.collector(); err != nil {
		return none, err
	}
	if _, err := c.spares(); err != nil {
		return none, err
	}
	if _, err := metrics.ParseTenants(c.Metered); err != nil {
		return none, fmt.Errorf("--metrics-tenants or LOCUS_METRICS_TENANTS: %w", err)
	}
	if _, err := parseAccessLog(c.Access); err != nil {
		return none, fmt.Errorf("--access-log or LOCUS_ACCESS_LOG: %w", err)
	}
	proxies, err := inbound.ParseProxies(c.Trusted)
	if err != nil {
		return none, fmt.Errorf("--trusted-proxies or LOCUS_TRUSTED_PROXIES: %w", err)
	}
	return proxies, nil
}

// serving is a server from its start to its end.
type serving struct {
	listeners
	proxies inbound.Proxies
	db      *db.DB
	facts   tenant.Deployment
	outside network
	app     *app
	numbers *metrics.Metrics // nil: nobody can look at them
	log     *slog.Logger
	logs    *logs
	who     *supervisor
	health  *health
	asker   asker
	pages   dashboard
	tls     *secured // nil: something stands in front
	access  *accessLog
	traces  tracing
	over    chan struct{} // closed when all is closed
	undo    []func()      // what has to be closed, the first thing last
}

func (s *serving) later(f func()) { s.undo = append(s.undo, f) }

func (s *serving) close() {
	for _, f := range slices.Backward(s.undo) {
		f()
	}
}

// assemble opens the database, brings it up to date, and makes the parts. Nothing of it runs yet.
func (s *serving) assemble(ctx context.Context, c *serveCmd) error {
	var stopDB func()
	sizes, err := c.sizes()
	if err != nil {
		return err
	}
	if c.Dev && c.DatabaseURL == "" {
		c.DatabaseURL = privateDatabase
	}
	if s.traces, err = c.traces(s, c.Metered); err != nil {
		return err
	}
	s.later(s.traces.close)
	s.starts(phaseDatabase)
	if s.db, stopDB, err = c.open(ctx, s.log, db.Config{Log: s.log, Sizes: sizes, Tracer: s.traces.tracer()}); err != nil {
		return err
	}
	s.later(stopDB)
	if s.facts, err = c.decide(ctx, s.db, s.web.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	s.starts(phaseMigrate)
	// Tenants follow in the background, and each before its first request.
	if err := s.db.MigrateControl(ctx); err != nil {
		return fmt.Errorf("migrate control: %w", err)
	}
	s.starts(phaseParts)
	if err := checkNodes(ctx, s.db, s.log); err != nil {
		return err
	}
	if err := c.makeRoles(ctx, s.db, s.log); err != nil {
		return err
	}
	keys, err := c.keys(ctx, s.db, s.log)
	if err != nil {
		return err
	}
	if err := c.note(ctx, s.db, s.facts); err != nil {
		return err
	}
	if c.DevNames && !c.Dev {
		s.log.Warn("names under .test and localhost are allowed (LOCUS_DEV_NAMES): nobody else can resolve them")
	}
	if s.outside, err = c.reach(s.facts, s.db, s.log); err != nil {
		return err
	}
	s.later(s.outside.close)
	post, err := c.mailFlags.config(c.Dev)
	if err != nil {
		return err
	}
	services, err := c.services(c.Dev)
	if err != nil {
		return err
	}
	s.outside.counted(s.numbers)
	s.traces.outside(s.outside)
	calls := proxy.Config{Public: s.outside.public.Transport, Named: s.outside.named.Transport, Defaults: services}
	origin := s.facts.Config(c.DevNames)
	origin.Reserved = c.OperatorsHost
	if origin.Spares, err = c.spares(); err != nil {
		return err
	}
	if s.access, err = newAccessLog(s.log, c.Access); err != nil {
		return err
	}
	s.app = assemble(s.db, keys, origin, s.outside.resolver, s.outside.clients, calls, post, c.blobs(), fair.NewBytes(c.AnswerMemory<<20), s.proxies, s.observe(), s.log)
	s.app.counted = s.logs.counted
	s.app.book.OnWork(s.traces.work("due"))
	s.app.jobs.OnAttempt(s.traces.work("job"))
	s.app.masters.Source(c.givenAgain(s.logs))
	s.app.self.Holds(s.app.masters)
	s.app.self.Refuses(func() process.Refused {
		return process.Refused{People: s.app.acts.FailedSignins(), Operators: s.app.acts.FailedOperators()}
	})
	s.later(s.app.close)
	if err := s.app.keepBackups(c.backupStoreFlags, c.dataFlags); err != nil {
		return err
	}
	s.asker.names.Store(c.names(s.app.tenants, s.app.actors))
	if c.on() {
		if s.tls, err = c.secure(s); err != nil {
			return err
		}
		s.later(s.tls.close)
	}
	if err := apart(ctx, s.app.tenants, c.OperatorsHost); err != nil {
		return err
	}
	// Without its files a server serves the rest, and goes on when their disk is mounted.
	if err := s.app.blobs.Stores.Ready(ctx); err != nil && !errors.Is(err, blob.ErrAway) {
		return fmt.Errorf("%w (--blob-store says where files go)", err)
	}
	return nil
}

// run serves until ctx ends or something fails that a server cannot do without.
func (s *serving) run(ctx context.Context, c *serveCmd, hangup <-chan os.Signal) error {
	a, log := s.app, s.log
	ctx, stop := s.draining(ctx, c.DrainDelay)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	s.background(ctx, group)
	reload := s.reloader()
	group.Go(func() error { reload.run(ctx, hangup); return nil })
	group.Go(func() error { s.outside.try(ctx, s.facts.PLCURL, log); return nil })
	go leaveDatabase(ctx, s.over, s.db, log)
	plc := s.plc != nil && s.outside.builtIn != nil
	if plc {
		group.Go(func() error {
			return serveHTTP(ctx, s.plc, inbound.Config{}, s.outside.builtIn.Handler(version(), log), log)
		})
	}
	s.looks(ctx, group, c)
	front := s.operators(ctx, group, c, s.traces.over(a.server()))
	s.serves(ctx)
	front = s.health.over(tellsDoctor(a.keys, s.proxies, front))
	s.serveSecured(ctx, group, c, front)
	group.Go(func() error {
		return serveHTTP(ctx, s.web, inbound.Config{Open: c.Connections, PerAddress: c.PerAddress, Neighbour: s.proxies.Trusts}, front, log)
	})
	if c.Dev {
		if err := c.furnish(ctx, a); err != nil {
			log.Error("prepare the development tenants", "err", err)
			stop()
			_ = group.Wait() // ended by that
			return err
		}
		c.greet(os.Stdout, a, plc)
	} else {
		log.Info("serving", "address", s.web.Addr().String(), "version", version())
	}
	err := group.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		log.Info("stopped")
		return nil
	}
	return err
}

// background begins what goes on beside the requests.
func (s *serving) background(ctx context.Context, group *errgroup.Group) {
	a := s.app
	sweeper := blob.NewSweeper(a.blobs)
	a.handle(sweeper, firehose.NewKeeper(s.db, time.Now, s.log, firehose.KeeperConfig{
		Ready: a.answers, Client: s.outside.client,
		Again: func(schema db.Schema) { a.book.Mark(schema, due.Crawls, time.Now()) },
	}))
	for _, loop := range []func(context.Context) error{
		a.tenants.Run, a.tenants.RunUpgrades, a.tenants.RunLeft, a.tenants.RunSpares, a.limits.Run, a.server().Run, a.jobs.Run, a.backups.Run, a.meter.Run, s.db.RunShared, s.db.RunReplicas, a.streams.RunNotes,
	} {
		group.Go(func() error { return loop(ctx) })
	}
	for _, loop := range []func(context.Context) error{sweeper.Run, a.outbox.Run, a.book.Run, a.meter.RunGauges} {
		group.Go(func() error { return loop(db.InBackground(ctx)) })
	}
	group.Go(func() error { return a.runPurges(db.InBackground(ctx), s.log) })
	group.Go(func() error { return a.self.Run(ctx, s.where(), version()) })
}

// reloader is what SIGHUP has read again.
func (s *serving) reloader() *reloader {
	r := newReloader(s.logs, s.who, s.app.tenants, s.access)
	r.read["LOCUS_MASTER_KEY"] = !s.logs.fixed("--master-key")
	r.add("master keys", func(ctx context.Context) (string, error) {
		added, err := s.app.masters.Reload(ctx)
		if added == 0 {
			return "", err
		}
		return fmt.Sprintf("%d new", added), err
	})
	if s.tls != nil && s.tls.files != nil {
		r.add("certificates", func(context.Context) (string, error) { return "looked at", s.tls.files.Reload() })
	}
	return r
}

// looks begins what looks after the process, and what people and machines see of it.
func (s *serving) looks(ctx context.Context, group *errgroup.Group, c *serveCmd) {
	x := s.checkup(c)
	itself, visits := s.itself(c, x), s.nightly(c, x)
	group.Go(func() error { return itself.Run(db.InBackground(ctx)) })
	if visits != nil {
		group.Go(func() error { return visits.Run(db.InBackground(ctx)) })
	}
	if s.machines != nil {
		s.app.show(s.numbers)
		showDoctor(s.numbers, visits, itself)
		s.traces.show(s.numbers)
		s.tls.show(s.numbers)
	}
	group.Go(func() error { return s.dashboard(ctx, c.DashboardURL) })
	if s.debug != nil {
		group.Go(func() error { return serveHTTP(ctx, s.debug, inbound.Config{}, profiler(), s.log) })
	}
}

// operators serves the operator API where it is wanted: at an address of its own, and under a hostname in front of front.
func (s *serving) operators(ctx context.Context, group *errgroup.Group, c *serveCmd, front http.Handler) http.Handler {
	if s.admin == nil && c.OperatorsHost == "" {
		return front
	}
	api := s.app.operators(s.proxies)
	group.Go(func() error { return api.Run(db.InBackground(ctx)) })
	face := s.traces.operated(api.Name, api)
	if s.admin != nil {
		group.Go(func() error {
			return serveHTTP(ctx, s.admin, inbound.Config{Open: operatorConnections, PerAddress: operatorConnections / 4, Neighbour: s.proxies.Trusts}, face, s.log)
		})
	}
	if c.OperatorsHost != "" {
		return admin.Under(c.OperatorsHost, face, front)
	}
	return front
}

// What a process that was asked to end does about a database that does not answer: requests that wait for it get
// leaveAfter, then it is asked once more, for pingWithin.
const (
	leaveAfter = 2 * time.Second
	pingWithin = 500 * time.Millisecond
)

// leaveDatabase gives up waiting for a database that is away when the process is to end.
func leaveDatabase(ctx context.Context, ended <-chan struct{}, d *db.DB, log *slog.Logger) {
	<-ctx.Done()
	select {
	case <-ended:
		return
	case <-time.After(leaveAfter):
	}
	ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingWithin)
	defer cancel()
	if err := d.Ping(ping); err != nil {
		log.Warn("the database does not answer: what waits for it is given up", "err", err)
		d.GiveUp()
	}
}
