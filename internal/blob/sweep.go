package blob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	sweepEvery = 10 * time.Minute
	// trashSlice is how many objects one claim takes, claimTime how long others leave them alone.
	trashSlice = 200
	claimTime  = 10 * time.Minute
	// expireSlice bounds one transaction of the expiry.
	expireSlice = 500
	// staleUpload is how old a mark or an unfinished upload must be to be a crash's.
	staleUpload = time.Hour
)

// Sweeper does what is left to be done in the background: deletes objects that the trash names, temporary blobs that no
// record came for, and what crashed uploads left. Any number of processes may run it at once.
type Sweeper struct {
	blobs *Blobs
	log   *slog.Logger
}

// NewSweeper makes a sweeper.
func NewSweeper(b *Blobs) *Sweeper {
	return &Sweeper{blobs: b, log: b.log}
}

// Run looks after the stores themselves, until the context ends: what crashed uploads left in them is no tenant's.
func (w *Sweeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var failed []error
		for _, at := range w.blobs.Stores.set.All() {
			if err := at.SweepOld(ctx, w.blobs.now().Add(-staleUpload)); !errors.Is(err, ErrAway) { // that is said once
				failed = append(failed, err)
			}
		}
		if err := errors.Join(failed...); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
			w.log.Warn("sweep of stores is incomplete, the next one goes on", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(sweepEvery):
		}
	}
	return nil
}

// Tenant does everything that a tenant has due.
func (w *Sweeper) Tenant(ctx context.Context, t *tenant.Tenant) error {
	if err := w.blobs.Stores.learn(ctx, t.Schema); err != nil {
		return fmt.Errorf("blobs of %s: %w", t.Hostname, err)
	}
	expired := w.blobs.Expire(ctx, t.Schema, time.Duration(t.Settings.BlobTemporaryHours)*time.Hour)
	_, moved := w.blobs.quarantine(ctx, t.Schema)
	_, emptied := w.blobs.EmptyTrash(ctx, t.Schema)
	if err := errors.Join(expired, moved, emptied); err != nil {
		return fmt.Errorf("blobs of %s: %w", t.Hostname, err)
	}
	return nil
}

// Expire deletes temporary blobs that are older than age.
func (b *Blobs) Expire(ctx context.Context, schema db.Schema, age time.Duration) error {
	t := b.db.Tenant(schema)
	for {
		before := b.now().Add(-age)
		owners, err := t.Q().ListExpiredBlobOwners(ctx, tenantdb.ListExpiredBlobOwnersParams{Before: before, MaxRows: expireSlice})
		if err != nil || len(owners) == 0 {
			return err
		}
		owners = slices.Compact(slices.Sorted(slices.Values(owners)))
		var n int64
		err = t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
			if err := q.LockBlobOwners(ctx, owners); err != nil {
				return err
			}
			n, err = q.DeleteExpiredBlobs(ctx, tenantdb.DeleteExpiredBlobsParams{Aids: owners, Before: before, Now: b.now()})
			return err
		})
		if err != nil {
			return fmt.Errorf("delete temporary blobs: %w", err)
		}
		if n == 0 {
			return nil // another process was faster, or records came for them
		}
	}
}

// EmptyTrash deletes a tenant's objects that are due, and says how many. An object that cannot be deleted now is tried
// again later, ever less often.
func (b *Blobs) EmptyTrash(ctx context.Context, schema db.Schema) (int, error) {
	q := b.db.Tenant(schema).Q()
	total := 0
	for {
		now := b.now()
		rows, err := q.UpdateBlobTrashClaimed(ctx, tenantdb.UpdateBlobTrashClaimedParams{Now: now, Until: now.Add(claimTime), MaxRows: trashSlice})
		if err != nil {
			return total, fmt.Errorf("read trash: %w", err)
		}
		if len(rows) == 0 {
			return total, nil
		}
		if held, err := b.held(ctx, schema); held || err != nil {
			return total, err // they are due again when the claim has ended
		}
		n, err := b.removeClaimed(ctx, schema, rows)
		total += n
		if err != nil {
			return total, err
		}
	}
}

func (b *Blobs) removeClaimed(ctx context.Context, schema db.Schema, rows []tenantdb.UpdateBlobTrashClaimedRow) (int, error) {
	q := b.db.Tenant(schema).Q()
	byStore := map[int16][]string{}
	attempts := map[string]int32{}
	for _, r := range rows {
		byStore[r.Store] = append(byStore[r.Store], r.Object)
		attempts[r.Object] = r.Attempts
	}
	var done tenantdb.DeleteBlobTrashParams
	var failed []error
	for id, objects := range byStore {
		var bad map[string]error
		p, err := b.Stores.at(ctx, schema, id)
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, claimTime/2)
			bad = p.Remove(ctx, objects)
			cancel()
		}
		for _, o := range objects {
			e := err
			if e == nil {
				e = bad[o]
			}
			if e == nil {
				done.Stores = append(done.Stores, id)
				done.Objects = append(done.Objects, o)
				continue
			}
			wait := min(time.Minute<<min(attempts[o], 12), 24*time.Hour)
			if errors.Is(e, ErrAway) { // said already, and over when the disk is there
				wait = min(wait, 10*time.Minute)
			} else {
				failed = append(failed, e)
			}
			text := e.Error()
			if len(text) > 500 {
				text = text[:500]
			}
			if err := q.UpdateBlobTrashFailed(ctx, tenantdb.UpdateBlobTrashFailedParams{Store: id, Object: o, DueAt: b.now().Add(wait), LastError: text}); err != nil {
				failed = append(failed, err)
			}
		}
	}
	if len(done.Stores) > 0 {
		if err := q.DeleteBlobTrash(ctx, done); err != nil {
			failed = append(failed, fmt.Errorf("clear trash: %w", err))
		}
	}
	if len(failed) > 3 {
		failed = append(failed[:3], fmt.Errorf("and %d more", len(failed)-3))
	}
	return len(done.Stores), errors.Join(failed...)
}
