package firehose

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Site is what the Keeper has to know of a tenant.
type Site struct {
	Schema   db.Schema
	Hostname string // as relays are told: with the port if the public URL has one
	Window   time.Duration
	Crawlers []string // URLs of relays
}

// KeeperConfig is what a Keeper works with. Zero durations take the defaults.
type KeeperConfig struct {
	// Sites lists the tenants that are served.
	Sites func(context.Context) ([]Site, error)
	// Ready tells whether a tenant answers describeServer. Relays call it as soon as they are told of news, so they are
	// not told before it answers.
	Ready func(ctx context.Context, hostname string) error
	// Client calls the relays.
	Client *http.Client
	// Every is how often one tenant's old events are looked for, by any node. Default 10 minutes.
	Every time.Duration
	// CrawlEvery is how often a relay is told of one tenant at most. Default 20 minutes.
	CrawlEvery time.Duration
	// CrawlRetry is when it is told again after it did not listen. Default 2 minutes, doubling up to CrawlEvery.
	CrawlRetry time.Duration
}

// Keeper does what a stream needs besides being read: it drops events that are older than the window, and tells relays
// of new ones. Every node runs one; they agree in the tenant's schema on who does what.
type Keeper struct {
	db  *db.DB
	now func() time.Time
	log *slog.Logger
	cfg KeeperConfig

	mu    sync.Mutex
	dirty map[db.Schema]bool // had events here, not told yet
	wake  chan struct{}
}

// NewKeeper makes a Keeper. hub tells it which tenants have news.
func NewKeeper(d *db.DB, hub *Hub, now func() time.Time, log *slog.Logger, cfg KeeperConfig) *Keeper {
	set := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&cfg.Every, 10*time.Minute)
	set(&cfg.CrawlEvery, 20*time.Minute)
	set(&cfg.CrawlRetry, 2*time.Minute)
	k := &Keeper{db: d, now: now, log: log, cfg: cfg, dirty: map[db.Schema]bool{}, wake: make(chan struct{}, 1)}
	hub.OnChange(k.changed)
	return k
}

// changed notes that a tenant has events that relays do not know of.
func (k *Keeper) changed(s db.Schema, _ int64) {
	k.mu.Lock()
	known := k.dirty[s]
	k.dirty[s] = true
	k.mu.Unlock()
	if !known {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// Run works until ctx ends. It begins once the process answers requests.
func (k *Keeper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { k.runCrawls(ctx) })
	for {
		k.dropAll(ctx)
		// A part of the period, so that what falls due is done soon, by the node that comes first.
		sleep(ctx, max(k.cfg.Every/5, time.Second))
		if ctx.Err() != nil {
			return nil
		}
	}
}

const choreRetention = "retention"

// dropAll drops the old events of all tenants whose turn it is.
func (k *Keeper) dropAll(ctx context.Context) {
	sites, err := k.cfg.Sites(ctx)
	if err != nil {
		k.report(ctx, "tenants cannot be listed for dropping old events", err)
		return
	}
	for _, s := range sites {
		if ctx.Err() != nil {
			return
		}
		if _, err := k.DropOld(ctx, s); err != nil {
			k.report(ctx, "old events cannot be dropped", err, "schema", s.Schema)
		}
	}
}

// DropOld drops a tenant's events behind its window if there are any and no other node did so a moment ago.
func (k *Keeper) DropOld(ctx context.Context, s Site) (int64, error) {
	if s.Window <= 0 {
		return 0, nil
	}
	t, now := k.db.Tenant(s.Schema), k.now()
	cut := now.Add(-s.Window)
	first, err := t.Q().GetEventAfter(ctx, 0)
	if db.IsNoRows(err) || err == nil && first.TimeUs >= cut.UnixMicro() {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	mine, err := t.Q().UpsertChoreClaim(ctx, tenantdb.UpsertChoreClaimParams{Name: choreRetention, NextAt: now.Add(k.cfg.Every), Now: now})
	if err != nil || mine == 0 {
		return 0, err
	}
	n, err := Drop(ctx, t, cut)
	if n > 0 {
		k.log.Info("old events dropped", "schema", s.Schema, "events", n)
	}
	return n, err
}

func (k *Keeper) report(ctx context.Context, what string, err error, args ...any) {
	if ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
		k.log.Warn(what, append(args, "err", err)...)
	}
}
