package tenant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/keyring"
)

const (
	// pollEvery is how often a process asks what changed: one indexed query, whatever the number of tenants.
	pollEvery = time.Second
	// strangerEvery bounds the extra looks that hosts nobody knows cause, for the whole process: a tenant made by
	// another process a moment ago answers here at once, and a flood of invented names costs four queries a second.
	strangerEvery = 250 * time.Millisecond
	tenantPage    = 500
	// maxNames bounds the names of one tenant.
	maxNames = 100
)

// Config is what a deployment says about all its tenants.
type Config struct {
	Reserved string // a name that no tenant may have; "": none
	// Scheme and Port make the public URLs: https and 0, or http and the port of a development server. Port is left out
	// of URLs when 0 or the scheme's own.
	Scheme string
	Port   int
	// Dev is for development servers: calls are not limited where a tenant does not say so, and Names.
	Dev bool
	// Names also takes localhost, *.localhost and .test names.
	Names bool
	// Spares is how many schemas are made ahead in each database, or [SparesByTenants]; 0: none.
	Spares int
}

// Registry knows all tenants of the deployment. It is safe for concurrent use.
type Registry struct {
	db   *db.DB
	keys *keyring.Keyring
	cfg  Config
	now  func() time.Time
	log  *slog.Logger

	version int64 // of tenants' schemas, as this program knows them
	current atomic.Pointer[index]

	upgrades singleflight.Group // by schema
	changed  func(*Tenant)

	mu       sync.Mutex      // one refresh at a time
	asked    time.Time       // when the last refresh began
	reported map[int64]int64 // tenant id → revision whose damage was logged
	compared time.Time       // when it was last looked for tenants that went
	onGone   []func(*Tenant)
}

// NewRegistry makes a registry that reads the tenants when first asked and follows changes while [Registry.Run] runs.
func NewRegistry(d *db.DB, keys *keyring.Keyring, cfg Config, now func() time.Time, log *slog.Logger) *Registry {
	if cfg.Scheme == "" {
		cfg.Scheme = "https"
	}
	cfg.Names = cfg.Names || cfg.Dev
	version, err := db.LatestTenantVersion()
	if err != nil {
		panic(fmt.Sprintf("tenant migrations: %v", err)) // embedded, and the tests read them: cannot happen
	}
	return &Registry{db: d, keys: keys, cfg: cfg, now: now, log: log, version: version, reported: map[int64]int64{}}
}

// OnChange sets what is told of tenants that are new or were changed, whoever did it, but not of those that are there when
// the registry first reads them. It must not block, and it is set before anything is read.
func (r *Registry) OnChange(f func(*Tenant)) { r.changed = f }

// Run follows changes made by other processes until the context ends: a setting is live everywhere within about a
// second.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	failing := false
	for {
		err := r.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing && !db.IsUnavailable(err): // which db tells the log
			r.log.Warn("tenants cannot be read; going on with what is known", "err", err)
		case err == nil && failing:
			r.log.Info("tenants can be read again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ByHost says whom a Host header leads to. A tenant whose schema is older than the program is migrated first. Errors:
// [ErrUnknownHost], [ErrTenantSuspended], [ErrTenantDeleted], [ErrTooNew] and [ErrBehind] (Match still names the tenant), or
// that the tenants could never be read.
func (r *Registry) ByHost(ctx context.Context, header string) (Match, error) {
	host, ok := hostOf(header)
	if !ok {
		return Match{}, ErrUnknownHost
	}
	ix, err := r.loaded(ctx)
	if err != nil {
		return Match{}, err
	}
	m, ok := ix.match(host)
	if !ok {
		if ix, err = r.lookAgain(ctx); err != nil {
			return Match{}, err
		}
		if m, ok = ix.match(host); !ok {
			return Match{}, ErrUnknownHost
		}
	}
	if m.behind {
		t, err := r.BringUp(ctx, m.Tenant)
		if err != nil {
			return m, err
		}
		m.Tenant = t
	}
	switch m.State {
	case Active, Moving:
		return m, nil
	case Suspended:
		return m, ErrTenantSuspended
	case Deleting:
		return m, ErrTenantDeleted
	case TooNew:
		return m, ErrTooNew
	}
	return Match{}, ErrUnknownHost
}

// NameTaken says whether a name is the hostname, also a former one, or a handle domain of any tenant, and therefore nobody's handle: a
// handle domain may well lie above another tenant's hostname.
func (r *Registry) NameTaken(ctx context.Context, name string) (bool, error) {
	ix, err := r.loaded(ctx)
	if err != nil {
		return false, err
	}
	return ix.byHost[name] != nil || ix.byFormer[name] != nil || ix.byDomain[name] != nil, nil
}

// Get gives the tenant of a hostname, also a former one, whatever its state. Errors: [ErrNotFound].
func (r *Registry) Get(ctx context.Context, hostname string) (*Tenant, error) {
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	host, ok := hostOf(hostname)
	ix := r.current.Load()
	for _, by := range []map[string]*Tenant{ix.byHost, ix.byFormer} {
		if t := by[host]; ok && t != nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: %.100q", ErrNotFound, hostname)
}

// ByID gives the tenant with that id as it is known now, whatever its state. Errors: [ErrNotFound].
func (r *Registry) ByID(ctx context.Context, id int64) (*Tenant, error) {
	ix, err := r.loaded(ctx)
	if err != nil {
		return nil, err
	}
	if t := ix.byID[id]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: id %d", ErrNotFound, id)
}

// List gives all tenants in all states, by hostname.
func (r *Registry) List(ctx context.Context) ([]*Tenant, error) {
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	out := slices.Collect(maps.Values(r.current.Load().byID))
	slices.SortFunc(out, func(a, b *Tenant) int { return strings.Compare(a.Hostname, b.Hostname) })
	return out, nil
}

// Edition is what a registry knew of all tenants at some moment: while it is the same nothing has changed.
type Edition struct{ ix *index }

// Edition is what is known now.
func (r *Registry) Edition() Edition { return Edition{r.current.Load()} }

func (r *Registry) loaded(ctx context.Context) (*index, error) {
	if ix := r.current.Load(); ix != nil {
		return ix, nil
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r.current.Load(), nil
}

// lookAgain reads changes unless that was done a moment ago or is being done: strangers never wait for each other, and
// not for long for a database that hangs.
func (r *Registry) lookAgain(ctx context.Context) (*index, error) {
	if !r.mu.TryLock() {
		return r.current.Load(), nil
	}
	defer r.mu.Unlock()
	if since := r.now().Sub(r.asked); since >= 0 && since < strangerEvery {
		return r.current.Load(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	return r.current.Load(), nil
}

// Refresh reads what changed since the last time.
func (r *Registry) Refresh(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refresh(ctx)
}

func (r *Registry) refresh(ctx context.Context) error {
	// Also after a failure: strangers must not ask a database that is down again and again.
	r.asked = r.now()
	old := r.current.Load()
	next := old
	for {
		after := int64(0)
		if next != nil {
			after = next.revision
		}
		rows, err := r.db.Control().ListTenantsChangedSince(ctx, controldb.ListTenantsChangedSinceParams{Revision: after, MaxRows: tenantPage})
		if err != nil {
			return fmt.Errorf("list changed tenants: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		ids := make([]int64, len(rows))
		for i, row := range rows {
			ids[i] = row.TenantID
		}
		names, err := r.db.Control().ListHostnamesOfTenants(ctx, controldb.ListHostnamesOfTenantsParams{TenantIds: ids, MaxRows: tenantPage * maxNames})
		if err != nil {
			return fmt.Errorf("list hostnames: %w", err)
		}
		next = r.merge(next, rows, names)
		r.reach(ctx, next, ids)
		if len(rows) < tenantPage {
			break
		}
	}
	if next == nil {
		next = newIndex()
	}
	next, err := r.compare(ctx, next)
	if err != nil {
		return err
	}
	r.current.Store(next)
	r.bury(old, next)
	if r.changed != nil && old != nil && old != next {
		for id, t := range next.byID {
			if old.byID[id] != t {
				r.changed(t)
			}
		}
	}
	return nil
}

// reach learns of databases that a process meets for the first time. One that it cannot reach is its tenants' trouble only.
func (r *Registry) reach(ctx context.Context, ix *index, ids []int64) {
	for _, id := range ids {
		if t := ix.byID[id]; t != nil && !r.db.Knows(t.Schema) {
			if err := r.db.LearnNodes(ctx); err != nil {
				r.log.Error("databases of tenants cannot be used", "err", err)
			}
			return
		}
	}
}

func (r *Registry) merge(old *index, rows []controldb.Tenant, names []controldb.Hostname) *index {
	byTenant := map[int64][]controldb.Hostname{}
	for _, n := range names {
		byTenant[n.TenantID] = append(byTenant[n.TenantID], n)
	}
	next := newIndex()
	if old != nil {
		maps.Copy(next.byID, old.byID)
		next.revision = old.revision
	}
	for _, row := range rows {
		next.revision = max(next.revision, row.Revision)
		t, err := r.tenantOf(row, byTenant[row.TenantID])
		if err != nil {
			r.reportOnce(row, "tenant row is damaged", err)
		}
		if t == nil {
			delete(next.byID, row.TenantID)
			continue
		}
		t.behind = row.Version < r.version && t.State != Provisioning
		if t.behind && (t.State == Active || t.State == Moving) {
			t.State = Behind
		}
		// One that is served here already goes on, if it may: see [TooNew]. One that seemed to be behind was not.
		if before := next.byID[t.ID]; row.Needs > r.version || row.Version > r.version && (before == nil || before.behind || before.State == TooNew) {
			t.State = TooNew
			r.reportOnce(row, "a tenant is not served by this process: update the program", fmt.Errorf("%w: version %d, this program knows %d", ErrTooNew, row.Version, r.version))
		}
		next.byID[t.ID] = t
	}
	next.name()
	return next
}

// tenantOf makes a Tenant of its rows. A nil tenant cannot be served; a tenant with an error has default settings in
// place of damaged ones.
func (r *Registry) tenantOf(row controldb.Tenant, names []controldb.Hostname) (*Tenant, error) {
	if State(row.State) == Purging {
		return nil, nil
	}
	schema, err := db.ParseSchema(row.SchemaName)
	if err != nil {
		return nil, err
	}
	var bad []error
	picked, err := parseChosen(row.Settings)
	if err != nil {
		bad = append(bad, err)
	}
	settings, err := picked.settings()
	if err != nil {
		bad = append(bad, err)
	}
	t := &Tenant{
		ID:          row.TenantID,
		Hostname:    row.Hostname,
		Schema:      schema.On(row.NodeID),
		ServiceDID:  row.ServiceDID,
		PublicURL:   r.cfg.URL(row.Hostname),
		State:       State(row.State),
		Settings:    settings,
		RateLimited: settings.RateLimits == RateLimitsOn || settings.RateLimits == RateLimitsAuto && !r.cfg.Dev,
		NodeID:      row.NodeID,
		Revision:    row.Revision,
		CreatedAt:   row.CreatedAt,
	}
	for _, n := range names {
		if n.Kind&nameHandle != 0 {
			t.HandleDomains = append(t.HandleDomains, n.Hostname)
		}
		if n.Kind&nameFormer != 0 {
			was := Former{Hostname: n.Hostname, ServiceDID: r.serviceDID(n.Hostname), PublicURL: r.cfg.URL(n.Hostname)}
			if n.FormerSince != nil {
				was.Since = *n.FormerSince
			}
			t.Former = append(t.Former, was)
		}
	}
	slices.Sort(t.HandleDomains)
	slices.SortFunc(t.Former, func(a, b Former) int { return a.Since.Compare(b.Since) })
	return t, errors.Join(bad...)
}

// reportOnce logs what is wrong with a row once per revision; only refresh calls it, under its lock.
func (r *Registry) reportOnce(row controldb.Tenant, what string, err error) {
	if r.reported[row.TenantID] == row.Revision {
		return
	}
	r.reported[row.TenantID] = row.Revision
	r.log.Error(what, "tenant", row.Hostname, "err", err)
}

// URL is a host's public origin.
func (c Config) URL(hostname string) string {
	if p := c.port(); p != "" {
		return c.Scheme + "://" + hostname + ":" + p
	}
	return c.Scheme + "://" + hostname
}

// serviceDID names a host in did:web, where the port's colon is written %3A.
// spec: did-web#web-did-method-specification
func (r *Registry) serviceDID(hostname string) string {
	if p := r.cfg.port(); p != "" {
		return "did:web:" + hostname + "%3A" + p
	}
	return "did:web:" + hostname
}

func (c Config) port() string {
	switch {
	case c.Port == 0, c.Scheme == "https" && c.Port == 443, c.Scheme == "http" && c.Port == 80:
		return ""
	}
	return strconv.Itoa(c.Port)
}
