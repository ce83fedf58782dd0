package tenant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// bringUpTime bounds how long a request waits for its tenant's migration; the migration itself goes on.
	bringUpTime = 20 * time.Second
	// upgradeTime bounds one tenant's migration.
	upgradeTime = 10 * time.Minute
	// upgradeEvery is how often a process looks for tenants that are behind: a restored one, or one that failed.
	upgradeEvery = time.Minute
	// upgradeSlowest is how far apart its looks become while the same tenants fail again and again.
	upgradeSlowest = time.Hour
	// upgradeWorkers is how many tenants a serving process migrates at a time: requests come first.
	upgradeWorkers = 1
)

// Ready gives the tenant when this program may work on its schema, which it migrates first where it is behind. Errors:
// [ErrTooNew], [ErrBehind].
func (r *Registry) Ready(ctx context.Context, t *Tenant) (*Tenant, error) {
	if t.behind {
		return r.BringUp(ctx, t)
	}
	return t, t.Usable()
}

// BringUp migrates a tenant that is behind. However many ask, it is done once. Errors: [ErrBehind] with the reason.
func (r *Registry) BringUp(ctx context.Context, t *Tenant) (*Tenant, error) {
	done := r.upgrades.DoChan(t.Schema.String(), func() (any, error) {
		// Whoever asked may go away: the next one finds it done.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), upgradeTime)
		defer cancel()
		err := r.db.MigrateTenant(ctx, t.Schema)
		if err != nil && !errors.Is(err, db.ErrTooNew) {
			return nil, err
		}
		return nil, errors.Join(err, r.reload(ctx, t.ID)) // also what is too new: then it is known, and said once
	})
	late := time.NewTimer(bringUpTime)
	defer late.Stop()
	select {
	case out := <-done:
		if err := out.Err; errors.Is(err, db.ErrTooNew) {
			return nil, fmt.Errorf("%s: %w", t.Hostname, ErrTooNew)
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", t.Hostname, ErrBehind, err)
		}
		return r.ByID(ctx, t.ID)
	case <-late.C:
		return nil, fmt.Errorf("%s: %w: it is being migrated", t.Hostname, ErrBehind)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reload reads one tenant again, whatever its revision: its version is no news to those who follow revisions.
func (r *Registry) reload(ctx context.Context, id int64) error {
	row, err := r.db.Control().GetTenant(ctx, id)
	if db.IsNoRows(err) {
		return fmt.Errorf("%w: id %d", ErrNotFound, id)
	}
	if err != nil {
		return fmt.Errorf("read tenant %d: %w", id, err)
	}
	names, err := r.db.Control().ListHostnamesOfTenant(ctx, controldb.ListHostnamesOfTenantParams{TenantID: id, MaxRows: maxNames})
	if err != nil {
		return fmt.Errorf("list hostnames: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.current.Load()
	if old == nil {
		return nil // the first refresh reads it
	}
	next := r.merge(old, []controldb.Tenant{row}, names)
	next.revision = old.revision // others' changes below this one's revision may not have been read
	r.current.Store(next)
	return nil
}

// RunUpgrades migrates tenants that are behind while others are served, until the context ends. Processes share the work.
func (r *Registry) RunUpgrades(ctx context.Context) error {
	wait := upgradeEvery
	for {
		failed, err := r.upgrade(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !db.IsUnavailable(err): // which db tells the log
			r.log.Error("tenants are not upgraded: 'locus migrate --status' lists them", "failed", failed, "err", err, "next_try", wait)
			wait = min(2*wait, upgradeSlowest)
		case err == nil:
			wait = upgradeEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (r *Registry) upgrade(ctx context.Context) (failed int, err error) {
	behind, err := r.db.Control().CountTenantsBehind(ctx, r.version)
	if err != nil || behind == 0 {
		return 0, err
	}
	r.log.Info("upgrading tenants in the background", "tenants", behind)
	began, last := r.now(), r.now()
	var done int
	err = r.db.MigrateTenants(ctx, upgradeWorkers, func(p db.Progress) {
		failed, done = p.Failed, p.Done
		if p.Err == nil {
			if err := r.reload(ctx, p.Tenant); err != nil && ctx.Err() == nil {
				r.log.Warn("an upgraded tenant cannot be read", "tenant_id", p.Tenant, "err", err)
			}
		}
		if now := r.now(); now.Sub(last) > 5*time.Second {
			last = now
			r.log.Info("upgrading tenants", "done", p.Done, "failed", p.Failed, "of", p.Total)
		}
	})
	if err == nil {
		r.log.Info("tenants are upgraded", "tenants", done, "took", r.now().Sub(began).Round(time.Millisecond))
	}
	return failed, err
}
