package firehose

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db"
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
	// Ready tells whether a tenant answers describeServer. Relays call it as soon as they are told of news, so they are
	// not told before it answers.
	Ready func(ctx context.Context, hostname string) error
	// Client calls the relays.
	Client *http.Client
	// CrawlEvery is how often a relay is told of one tenant at most. Default 20 minutes.
	CrawlEvery time.Duration
	// CrawlRetry is when it is told again after it did not listen. Default 2 minutes, doubling up to CrawlEvery.
	CrawlRetry time.Duration
	// Again has a tenant come soon that waited for a relay. Nil: it comes by itself.
	Again func(db.Schema)
}

// Keeper does what a stream needs besides being read: it drops events that are older than the window, and tells relays
// of new ones. It is told when. Any process may; they agree in the control schema on who does what.
type Keeper struct {
	db  *db.DB
	now func() time.Time
	log *slog.Logger
	cfg KeeperConfig

	quiet quiet
}

// NewKeeper makes a Keeper.
func NewKeeper(d *db.DB, now func() time.Time, log *slog.Logger, cfg KeeperConfig) *Keeper {
	set := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&cfg.CrawlEvery, CrawlEvery)
	set(&cfg.CrawlRetry, 2*time.Minute)
	return &Keeper{db: d, now: now, log: log, cfg: cfg, quiet: quiet{relays: map[string]*silence{}}}
}

// DropOld drops a tenant's events behind its window, and says when there are some again.
func (k *Keeper) DropOld(ctx context.Context, s Site) (dropped int64, next time.Time, err error) {
	if s.Window <= 0 {
		return 0, time.Time{}, nil
	}
	t := k.db.Tenant(s.Schema)
	dropped, err = Drop(ctx, t, k.now().Add(-s.Window))
	if dropped > 0 {
		k.log.Info("old events dropped", "schema", s.Schema, "events", dropped)
	}
	if err != nil {
		return dropped, time.Time{}, err
	}
	first, err := t.Q().GetEventAfter(ctx, 0)
	if db.IsNoRows(err) {
		return dropped, time.Time{}, nil
	}
	if err != nil {
		return dropped, time.Time{}, fmt.Errorf("oldest event: %w", err)
	}
	return dropped, time.UnixMicro(first.TimeUs).Add(s.Window), nil
}

func (k *Keeper) report(ctx context.Context, what string, err error, args ...any) {
	if ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
		k.log.Warn(what, append(args, "err", err)...)
	}
}
