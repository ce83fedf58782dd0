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
	trashEvery = 5 * time.Second
	// trashRate is how many tenants a second one process looks after: with thousands it takes longer to come round.
	trashRate = 20
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
	blobs   *Blobs
	tenants *tenant.Registry
	log     *slog.Logger
	count   int // tenants, when last looked
}

// NewSweeper makes a sweeper.
func NewSweeper(b *Blobs, tenants *tenant.Registry) *Sweeper {
	return &Sweeper{blobs: b, tenants: tenants, log: b.log}
}

// Run sweeps until the context ends.
func (w *Sweeper) Run(ctx context.Context) error {
	next := time.Now()
	for {
		var err error
		if time.Now().Before(next) {
			err = w.EmptyTrash(ctx)
		} else {
			next = time.Now().Add(sweepEvery)
			err = w.Sweep(ctx)
		}
		if err != nil && ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
			w.log.Warn("sweep of blobs is incomplete, the next one goes on", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(trashEvery, time.Duration(w.count)*time.Second/trashRate)):
		}
	}
}

// Sweep does everything once.
func (w *Sweeper) Sweep(ctx context.Context) error {
	failed := []error{w.each(ctx, func(ctx context.Context, t *tenant.Tenant) error {
		if err := w.blobs.Stores.learn(ctx, t.Schema); err != nil {
			return err
		}
		return w.blobs.Expire(ctx, t.Schema, time.Duration(t.Settings.BlobTemporaryHours)*time.Hour)
	})}
	failed = append(failed, w.EmptyTrash(ctx))
	for _, at := range w.blobs.Stores.set.All() {
		if err := at.SweepOld(ctx, w.blobs.now().Add(-staleUpload)); !errors.Is(err, ErrAway) { // that is said once
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// EmptyTrash deletes what is due in every tenant, and moves what was taken down out of reach.
func (w *Sweeper) EmptyTrash(ctx context.Context) error {
	return w.each(ctx, func(ctx context.Context, t *tenant.Tenant) error {
		_, failed := w.blobs.quarantine(ctx, t.Schema)
		_, err := w.blobs.EmptyTrash(ctx, t.Schema)
		return errors.Join(failed, err)
	})
}

func (w *Sweeper) each(ctx context.Context, do func(context.Context, *tenant.Tenant) error) error {
	all, err := w.tenants.List(ctx)
	if err != nil {
		return err
	}
	w.count = len(all)
	var failed []error
	for _, t := range all {
		if ctx.Err() != nil {
			break
		}
		if t.State != tenant.Active {
			continue
		}
		if err := do(ctx, t); err != nil {
			failed = append(failed, fmt.Errorf("blobs of %s: %w", t.Hostname, err))
		}
	}
	return errors.Join(failed...)
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
