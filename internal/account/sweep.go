package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	sweepEvery = 10 * time.Minute
	// sweepSlice bounds one transaction of the sweep.
	sweepSlice = 100
	// tombstoneTime bounds the directory's part in one tombstone.
	tombstoneTime = 30 * time.Second
)

// Sweeper clears away what nobody comes back for: sign-ups that a crash cut off, and expired refresh tokens. Any number
// of processes may run it at once.
type Sweeper struct {
	db        *db.DB
	tenants   *tenant.Registry
	directory identity.Directory
	now       func() time.Time
	log       *slog.Logger
}

// NewSweeper makes a sweeper; directory is told about DIDs that were made for nothing.
func NewSweeper(d *db.DB, tenants *tenant.Registry, directory identity.Directory, now func() time.Time, log *slog.Logger) *Sweeper {
	return &Sweeper{db: d, tenants: tenants, directory: directory, now: now, log: log}
}

// Run sweeps every ten minutes until the context ends.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("sweep is incomplete, the next one goes on", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep goes through all tenants once. What fails for one does not keep it from the others.
func (s *Sweeper) Sweep(ctx context.Context) error {
	all, err := s.tenants.List(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, t := range all {
		if t.State != tenant.Active || ctx.Err() != nil {
			continue
		}
		if err := s.sweep(ctx, t); err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", t.Hostname, err))
		}
	}
	return errors.Join(failed...)
}

func (s *Sweeper) sweep(ctx context.Context, t *tenant.Tenant) error {
	now := s.now()
	for {
		n, err := s.db.Tenant(t.Schema).Q().DeleteExpiredRefreshTokens(ctx, tenantdb.DeleteExpiredRefreshTokensParams{Now: now, MaxRows: sweepSlice})
		if err != nil {
			return fmt.Errorf("delete expired refresh tokens: %w", err)
		}
		if n < sweepSlice {
			break
		}
	}
	var failed []error
	for {
		var stale []Stale
		err := s.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
			stale, err = RemoveStale(ctx, q, now, sweepSlice)
			return err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, old := range stale {
			if err := s.tombstone(ctx, t, old.DID); err != nil {
				failed = append(failed, err)
			}
		}
		if len(stale) < sweepSlice {
			return errors.Join(failed...)
		}
	}
}

// tombstone ends a DID whose sign-up was cut off, if the directory ever heard of it. When this fails the DID stays as
// it is: it leads to an account that does not exist, and does no harm.
func (s *Sweeper) tombstone(ctx context.Context, t *tenant.Tenant, did string) error {
	ctx, cancel := context.WithTimeout(ctx, tombstoneTime)
	defer cancel()
	last, err := s.directory.Last(ctx, did)
	if errors.Is(err, identity.ErrDIDNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", did, err)
	}
	rotation, err := s.tenants.RotationSigner(ctx, t)
	if err != nil {
		return err
	}
	op, err := identity.NewTombstone(last, rotation)
	if errors.Is(err, identity.ErrDIDTombstoned) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tombstone %s: %w", did, err)
	}
	if err := s.directory.Submit(ctx, did, op); err != nil {
		return fmt.Errorf("tombstone %s: %w", did, err)
	}
	return nil
}
