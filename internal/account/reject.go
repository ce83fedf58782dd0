package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// tombstoneTime bounds the directory's part in one tombstone.
const tombstoneTime = 30 * time.Second

// Rejections ends accounts that never were, and their DIDs with them.
type Rejections struct {
	DB        *db.DB
	Tenants   *tenant.Registry
	Directory identity.Directory
	Hub       *firehose.Hub
	Now       func() time.Time
}

// Finish ends the DID of a rejected sign-up, if the directory may know it, and then removes the account, without an
// event. Only in this order: the rows are what remembers that there is a DID to end. Doing it again is fine.
func (r Rejections) Finish(ctx context.Context, t *tenant.Tenant, who Rejected) error {
	if who.Announced {
		if err := r.EndDID(ctx, t, who.DID); err != nil {
			return err
		}
	}
	_, err := r.Hub.Publish(ctx, r.DB.Tenant(t.Schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return Delete(ctx, q, r.Now(), who.AID)
	})
	if err != nil && !errors.Is(err, ErrNotFound) { // another process was first
		return fmt.Errorf("remove rejected sign-up: %w", err)
	}
	return nil
}

// EndDID tombstones a DID that nobody but this tenant has a key to, if the directory ever heard of it.
func (r Rejections) EndDID(ctx context.Context, t *tenant.Tenant, did string) error {
	ctx, cancel := context.WithTimeout(ctx, tombstoneTime)
	defer cancel()
	last, err := r.Directory.Last(ctx, did)
	if errors.Is(err, identity.ErrDIDNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", did, err)
	}
	rotation, err := r.Tenants.RotationSigner(ctx, t)
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
	if err := r.Directory.Submit(ctx, did, op); err != nil {
		return fmt.Errorf("tombstone %s: %w", did, err)
	}
	return nil
}

// goOn ends rejections that a crash, or a directory that was away, has cut off.
func (s *Sweeper) goOn(ctx context.Context, t *tenant.Tenant, now time.Time) error {
	var failed []error
	for after := int64(0); ; {
		rows, err := s.db.Tenant(t.Schema).Q().ListRejectedSignups(ctx, tenantdb.ListRejectedSignupsParams{
			Before: now.Add(-tombstoneTime), AfterAID: after, MaxRows: sweepSlice,
		})
		if err != nil {
			return errors.Join(append(failed, fmt.Errorf("list rejected sign-ups: %w", err))...)
		}
		for _, row := range rows {
			after = row.AID
			if err := s.rejections().Finish(ctx, t, Rejected{AID: row.AID, DID: row.DID, Announced: row.Announced}); err != nil {
				failed = append(failed, err)
			}
		}
		if len(rows) < sweepSlice {
			return errors.Join(failed...)
		}
	}
}

func (s *Sweeper) rejections() Rejections {
	return Rejections{s.db, s.tenants, s.directory, s.hub, s.now}
}
