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
	"github.com/auroralocus/locus/internal/blob/store"
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

// Move copies a tenant's blobs to another store, while the tenant serves: each row says where its blob is, and changes
// when the copy is durable and its digest right. It can be ended and begun again at any time: what was moved is moved.
// New uploads go where the tenant's setting says, so the setting comes first. A blob that cannot be read stays where it
// is and counts as failed.
func (b *Blobs) Move(ctx context.Context, schema db.Schema, location string, each func(Progress)) (Progress, error) {
	to, id, err := b.Stores.current(ctx, schema, location)
	if err != nil {
		return Progress{}, err
	}
	m := &mover{blobs: b, schema: schema, q: b.db.Tenant(schema).Q(), to: to, id: id, each: each}
	others, err := m.others(ctx)
	if err != nil {
		return m.progress, err
	}
	for _, old := range others {
		if err := m.empty(ctx, old); err != nil {
			return m.progress, err
		}
	}
	return m.progress, nil
}

type mover struct {
	blobs  *Blobs
	schema db.Schema
	q      *tenantdb.Queries
	to     *store.Store
	id     int16 // of to
	each   func(Progress)

	mu       sync.Mutex
	progress Progress
}

// others are the tenant's other stores with blobs in them.
func (m *mover) others(ctx context.Context) (ids []int16, err error) {
	if err := m.blobs.Stores.learn(ctx, m.schema); err != nil {
		return nil, err
	}
	for _, k := range m.blobs.Stores.known(m.schema) {
		if k.id == m.id {
			continue
		}
		n, err := m.q.CountBlobsIn(ctx, k.id)
		if err != nil {
			return nil, fmt.Errorf("count blobs: %w", err)
		}
		if n.Blobs > 0 {
			ids = append(ids, k.id)
			m.progress.Total += n.Blobs
			m.progress.TotalBytes += n.Bytes
		}
	}
	return ids, nil
}

// empty moves what is in one store, some at a time.
func (m *mover) empty(ctx context.Context, old int16) error {
	from, err := m.blobs.Stores.at(ctx, m.schema, old)
	if err != nil {
		return err
	}
	after := tenantdb.ListBlobsInParams{Store: old, AfterCID: []byte{}, MaxRows: 200}
	for {
		rows, err := m.q.ListBlobsIn(ctx, after)
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(4)
		for _, row := range rows {
			g.Go(func() error {
				moved, err := m.blobs.moveOne(ctx, m.schema, from, m.to, m.id, row)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				m.tell(row, moved, err)
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		last := rows[len(rows)-1]
		after.AfterAID, after.AfterCID = last.AID, last.CID
	}
}

func (m *mover) tell(row tenantdb.ListBlobsInRow, moved bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.progress
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
	if m.each != nil {
		m.each(*p)
	}
}

// moveOne copies one blob, from a store to another or within one; false: it was deleted or moved meanwhile.
func (b *Blobs) moveOne(ctx context.Context, schema db.Schema, from, to *store.Store, id int16, row tenantdb.ListBlobsInRow) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*b.storeTime(row.Size))
	defer cancel()
	in := to.NewSpool()
	defer in.Drop()
	if there, err := b.copyIn(ctx, schema, from, row, in); !there || err != nil {
		return false, err
	}
	down := row.TakedownRef != nil
	object := store.NewObjectFor(schema, row.DID, in.CID, down)
	end := b.now()
	if store.Quarantined(row.Object) == down { // moved to serve from elsewhere: downloads may have begun
		end = end.Add(moveGrace)
	}
	if to.Announced() {
		due := b.now().Add(announceTime + 2*b.storeTime(row.Size))
		if err := b.db.Tenant(schema).Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: id, Object: object, DueAt: due}); err != nil {
			return false, fmt.Errorf("announce copy: %w", err)
		}
	}
	if err := to.Put(ctx, row.AID, object, in); err != nil {
		return false, err
	}
	if err := to.Sync(object, in); err != nil {
		to.Discard(ctx, row.AID, object)
		return false, err
	}
	n, err := b.replace(ctx, schema, tenantdb.UpdateBlobObjectParams{
		AID: row.AID, CID: row.CID, Store: row.Store, Object: row.Object, NewStore: id, NewObject: object,
	}, to.Announced(), end)
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		to.Doubt(row.AID, object) // the sweep, or the next move, sees what happened
		return false, err
	case err != nil || n == 0:
		to.Discard(ctx, row.AID, object)
		return false, err
	}
	to.Settle(row.AID, object)
	return true, nil
}

// copyIn reads a blob's bytes from its store, and sees that they are right; false: it was deleted or moved meanwhile.
func (b *Blobs) copyIn(ctx context.Context, schema db.Schema, from *store.Store, row tenantdb.ListBlobsInRow, in *store.Spool) (bool, error) {
	want, err := cid.Cast(row.CID)
	if err != nil {
		return false, err
	}
	r, _, err := from.Open(ctx, row.Object)
	if errors.Is(err, store.ErrMissing) {
		now, err := b.db.Tenant(schema).Q().GetBlob(ctx, tenantdb.GetBlobParams{AID: row.AID, CID: row.CID})
		if db.IsNoRows(err) || err == nil && now.Object != row.Object {
			return false, nil
		}
		return false, fmt.Errorf("%w: %s", ErrLost, row.Object)
	}
	if err != nil {
		return false, err
	}
	err = in.Fill(r)
	_ = r.Close()
	switch {
	case err != nil:
		return false, fmt.Errorf("copy %s: %w", row.Object, err)
	case !in.CID.Equals(want):
		return false, fmt.Errorf("%w: the bytes of %s are those of %s", ErrLost, row.Object, in.CID)
	}
	return true, nil
}

// replace gives a blob's row another object, and puts the one before into the trash, due at a time. It says how many rows
// that were: none when the row has changed meanwhile.
func (b *Blobs) replace(ctx context.Context, schema db.Schema, p tenantdb.UpdateBlobObjectParams, announced bool, due time.Time) (n int64, err error) {
	err = b.db.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		n, err = q.UpdateBlobObject(ctx, p)
		if err == nil && n > 0 && announced {
			err = q.DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{p.NewStore}, Objects: []string{p.NewObject}})
		}
		if err == nil && n > 0 {
			err = q.InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: p.Store, Object: p.Object, DueAt: due})
		}
		return err
	})
	return n, err
}
