package blob

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// moveGrace is how long the old object of a moved blob stays: downloads that began with it end with it.
const moveGrace = 10 * time.Minute

// Progress of a move.
type Progress struct {
	Moved, Bytes   int64
	Total          int64 // blobs that were elsewhere at the beginning
	Failed         int64
	FirstFailure   error
	TotalBytes     int64
	LastObjectDone string
}

// Move copies a tenant's blobs to another place, while the tenant serves: each row says where its blob is, and changes
// when the copy is durable and its digest right. It can be ended and begun again at any time: what was moved is moved.
// New uploads go where the tenant's setting says, so the setting comes first. A blob that cannot be read stays where it
// is and counts as failed.
func (s *Store) Move(ctx context.Context, schema db.Schema, location string, each func(Progress)) (Progress, error) {
	var p Progress
	to, id, err := s.current(ctx, schema, location)
	if err != nil {
		return p, err
	}
	if err := s.learn(ctx, schema); err != nil {
		return p, err
	}
	q := s.db.Tenant(schema).Q()
	var from []int16
	for _, k := range s.sites(schema) {
		if k.id == id {
			continue
		}
		n, err := q.CountBlobsIn(ctx, k.id)
		if err != nil {
			return p, fmt.Errorf("count blobs: %w", err)
		}
		if n.Blobs > 0 {
			from = append(from, k.id)
			p.Total += n.Blobs
			p.TotalBytes += n.Bytes
		}
	}
	var mu sync.Mutex
	for _, old := range from {
		place, err := s.placeOf(ctx, schema, old)
		if err != nil {
			return p, err
		}
		after := tenantdb.ListBlobsInParams{Store: old, AfterCID: []byte{}, MaxRows: 200}
		for {
			rows, err := q.ListBlobsIn(ctx, after)
			if err != nil {
				return p, fmt.Errorf("list blobs: %w", err)
			}
			if len(rows) == 0 {
				break
			}
			g, gctx := errgroup.WithContext(ctx)
			g.SetLimit(4)
			for _, row := range rows {
				g.Go(func() error {
					moved, err := s.moveOne(gctx, schema, place, to, id, row)
					if gctx.Err() != nil {
						return gctx.Err()
					}
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						if p.Failed++; p.FirstFailure == nil {
							p.FirstFailure = err
						}
					case moved:
						p.Moved++
						p.Bytes += row.Size
					}
					p.LastObjectDone = row.Object
					if each != nil {
						each(p)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				return p, err
			}
			last := rows[len(rows)-1]
			after.AfterAID, after.AfterCID = last.AID, last.CID
		}
	}
	return p, nil
}

// moveOne copies one blob; false: it was deleted or moved meanwhile.
func (s *Store) moveOne(ctx context.Context, schema db.Schema, from, to *place, id int16, row tenantdb.ListBlobsInRow) (bool, error) {
	want, err := cid.Cast(row.CID)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*s.storeTime(row.Size))
	defer cancel()
	t := s.db.Tenant(schema)
	in := to.newSpool()
	defer in.drop()
	r, _, err := from.open(ctx, row.Object)
	if errors.Is(err, errMissing) {
		if now, err := t.Q().GetBlob(ctx, tenantdb.GetBlobParams{AID: row.AID, CID: row.CID}); db.IsNoRows(err) || err == nil && now.Object != row.Object {
			return false, nil
		}
		return false, fmt.Errorf("%w: %s", ErrLost, row.Object)
	}
	if err != nil {
		return false, err
	}
	err = in.fill(r)
	_ = r.Close()
	if err != nil {
		return false, fmt.Errorf("copy %s: %w", row.Object, err)
	}
	if !in.cid.Equals(want) {
		return false, fmt.Errorf("%w: the bytes of %s are those of %s", ErrLost, row.Object, in.cid)
	}
	down := row.TakedownRef != nil
	object := newPlaceFor(schema, row.DID, want, down)
	end := s.now()
	if quarantined(row.Object) == down { // moved to serve from elsewhere: downloads may have begun
		end = end.Add(moveGrace)
	}
	if to.announced() {
		due := s.now().Add(announceTime + 2*s.storeTime(row.Size))
		if err := t.Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: id, Object: object, DueAt: due}); err != nil {
			return false, fmt.Errorf("announce copy: %w", err)
		}
	}
	if err := to.put(ctx, row.AID, object, in); err != nil {
		return false, err
	}
	if err := to.sync(object, in); err != nil {
		to.discard(ctx, row.AID, object)
		return false, err
	}
	var n int64
	err = t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if n, err = q.UpdateBlobObject(ctx, tenantdb.UpdateBlobObjectParams{
			AID: row.AID, CID: row.CID, Store: row.Store, Object: row.Object, NewStore: id, NewObject: object,
		}); err != nil || n == 0 {
			return err
		}
		if err := q.DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{id}, Objects: []string{object}}); err != nil {
			return err
		}
		return q.InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: row.Store, Object: row.Object, DueAt: end})
	})
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		to.doubt(row.AID, object) // the sweep, or the next move, sees what happened
		return false, err
	case err != nil || n == 0:
		to.discard(ctx, row.AID, object)
		return false, err
	}
	to.settle(row.AID, object)
	return true, nil
}
