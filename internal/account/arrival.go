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

// arrivalLongest is how long after its date an account stays whose DID document cannot be had.
const arrivalLongest = 30 * 24 * time.Hour

// deleteArrivals deletes accounts that moved here and were not activated in time. An account whose DID document leads
// here by now stays, and gets the same time again: its owner did all but the last step. Deleting it would delete the
// key that the DID names, and perhaps the only copy of the repository.
func (s *Sweeper) deleteArrivals(ctx context.Context, t *tenant.Tenant, now time.Time) error {
	var failed []error
	for after := int64(0); ctx.Err() == nil; {
		rows, err := s.db.Tenant(t.Schema).Q().ListArrivalsDue(ctx, tenantdb.ListArrivalsDueParams{Now: now, AfterAID: after, MaxRows: sweepSlice})
		if err != nil {
			return errors.Join(append(failed, fmt.Errorf("list accounts that never came: %w", err))...)
		}
		for _, row := range rows {
			after = row.AID
			if err := s.endArrival(ctx, t, now, row); err != nil {
				failed = append(failed, err)
			}
		}
		if len(rows) < sweepSlice {
			break
		}
	}
	return errors.Join(failed...)
}

func (s *Sweeper) endArrival(ctx context.Context, t *tenant.Tenant, now time.Time, row tenantdb.ListArrivalsDueRow) error {
	doc, err := s.documents.Refresh(ctx, identity.Asker{Scope: t.Schema.String()}, row.DID)
	switch {
	case err == nil && t.IsAt(doc.PDS()):
		n, err := s.db.Tenant(t.Schema).Q().UpdateArrivalKept(ctx, tenantdb.UpdateArrivalKeptParams{AID: row.AID, Now: now, Until: now.Add(MovedLife)})
		if err != nil {
			return fmt.Errorf("keep %s: %w", row.DID, err)
		}
		if n > 0 {
			s.log.Info("account kept: it was never activated, but its DID leads here", "tenant", t.Hostname, "did", row.DID)
		}
		return nil
	case err == nil, errors.Is(err, identity.ErrDIDNotFound), errors.Is(err, identity.ErrDIDTombstoned):
	case now.Sub(row.DeleteAfter) < arrivalLongest:
		return fmt.Errorf("is %s to be kept: %w", row.DID, err)
	}
	deleted := false
	_, err = s.hub.Publish(ctx, s.db.Tenant(t.Schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		deleted = false
		if _, err := q.LockArrivalDue(ctx, tenantdb.LockArrivalDueParams{AID: row.AID, Now: now}); err != nil {
			if db.IsNoRows(err) {
				return nil, nil // activated, or another process is at it
			}
			return nil, fmt.Errorf("lock actor %d: %w", row.AID, err)
		}
		events, err := Delete(ctx, q, now, row.AID)
		deleted = err == nil
		return events, err
	})
	if err == nil && deleted {
		s.log.Info("account deleted: it moved here and was never activated", "tenant", t.Hostname, "did", row.DID)
	}
	return err
}
