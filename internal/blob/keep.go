package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// Hold keeps what rows have now from being deleted from its store until then, whatever becomes of the rows: for whoever
// begins to read a snapshot afterwards. Several may hold at once; the latest end counts.
func Hold(ctx context.Context, q *tenantdb.Queries, until time.Time) error {
	if err := q.UpsertFilesHeld(ctx, until); err != nil {
		return fmt.Errorf("keep files from being deleted: %w", err)
	}
	return nil
}

// held tells that somebody reads a snapshot. Asked after objects were claimed from the trash: a hold that comes later is for
// a snapshot that does not have them.
func (b *Blobs) held(ctx context.Context, schema db.Schema) (bool, error) {
	held, err := b.db.Tenant(schema).Q().GetFilesHeld(ctx, b.now())
	if err != nil {
		return false, fmt.Errorf("look for holds: %w", err)
	}
	return held, nil
}

// Fetch opens the object of a row, also one of a blob that is taken down or that no record refers to. Errors: [ErrLost],
// [ErrStore], [ErrStoreTimeout], [ErrAway].
func (b *Blobs) Fetch(ctx context.Context, schema db.Schema, row tenantdb.ListBlobsInRow) (io.ReadCloser, error) {
	from, err := b.Stores.at(ctx, schema, row.Store)
	if err != nil {
		return nil, err
	}
	r, size, err := from.Open(ctx, row.Object)
	switch {
	case errors.Is(err, store.ErrMissing):
		return nil, fmt.Errorf("%w: %s", ErrLost, row.Object)
	case err != nil:
		return nil, err
	case size != row.Size:
		_ = r.Close()
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d", ErrLost, row.Object, size, row.Size)
	}
	return r, nil
}

// Has tells whether the object of a row is in its store, by its size.
func (b *Blobs) Has(ctx context.Context, schema db.Schema, row tenantdb.ListBlobsInRow) (bool, error) {
	at, err := b.Stores.at(ctx, schema, row.Store)
	if err != nil {
		return false, err
	}
	size, err := at.Stat(ctx, row.Object)
	if errors.Is(err, store.ErrMissing) {
		return false, nil
	}
	return err == nil && size == row.Size, err
}

// Returning is a file on its way back into a store. It is put there by Put, or given up by Drop.
type Returning struct {
	blobs  *Blobs
	rows   db.Schema
	owner  db.Schema
	row    tenantdb.ListBlobsInRow
	to     *store.Store
	id     int16
	in     *store.Spool
	object string
}

// Return takes in the bytes of a blob whose row is in the schema rows, which nobody serves yet, and will be in the schema
// owner. Its object goes where owner's new uploads go: location is the tenant's setting. Errors: [ErrLost] if the bytes are
// not the blob's; those of r as they are.
func (b *Blobs) Return(ctx context.Context, rows, owner db.Schema, location string, row tenantdb.ListBlobsInRow, r io.Reader) (*Returning, error) {
	want, err := cid.Cast(row.CID)
	if err != nil {
		return nil, fmt.Errorf("blob of %s: %w", row.DID, err)
	}
	to, id, err := b.Stores.current(ctx, rows, location)
	if err != nil {
		return nil, err
	}
	back := &Returning{blobs: b, rows: rows, owner: owner, row: row, to: to, id: id, in: to.NewSpool()}
	err = back.in.Fill(r)
	if err == nil && !back.in.CID.Equals(want) {
		err = fmt.Errorf("%w: the bytes of %s are those of %s", ErrLost, want, back.in.CID)
	}
	if err != nil {
		back.Drop()
		return nil, err
	}
	back.object = store.NewObjectFor(owner, row.DID, want, row.TakedownRef != nil)
	return back, nil
}

// Drop frees what is kept on the way.
func (r *Returning) Drop() { r.in.Drop() }

// Put makes it an object, and the row's. The object that the row had before is somebody else's: it stays as it is.
func (r *Returning) Put(ctx context.Context) error {
	defer r.Drop()
	ctx, cancel := context.WithTimeout(ctx, 2*r.blobs.storeTime(r.row.Size))
	defer cancel()
	tenant := r.blobs.db.Tenant(r.rows)
	if r.to.Announced() {
		due := r.blobs.now().Add(announceTime + 2*r.blobs.storeTime(r.row.Size))
		if err := tenant.Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: r.id, Object: r.object, DueAt: due}); err != nil {
			return fmt.Errorf("announce %s: %w", r.object, err)
		}
	}
	if err := r.to.Put(ctx, r.row.AID, r.object, r.in); err != nil {
		return err
	}
	if err := r.to.Sync(r.object, r.in); err != nil {
		r.to.Discard(ctx, r.row.AID, r.object)
		return err
	}
	err := tenant.Tx(ctx, func(q *tenantdb.Queries) error {
		_, err := q.UpdateBlobObject(ctx, tenantdb.UpdateBlobObjectParams{
			AID: r.row.AID, CID: r.row.CID, Store: r.row.Store, Object: r.row.Object, NewStore: r.id, NewObject: r.object,
		})
		if err == nil && r.to.Announced() {
			err = q.DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{r.id}, Objects: []string{r.object}})
		}
		return err
	})
	if err != nil {
		r.to.Discard(ctx, r.row.AID, r.object)
		return fmt.Errorf("row of %s: %w", r.object, err)
	}
	r.to.Settle(r.row.AID, r.object)
	return nil
}

// GiveUp deletes the row of a blob whose bytes could not be had: its account is told that it is missing, and may upload it
// again.
func (b *Blobs) GiveUp(ctx context.Context, schema db.Schema, row tenantdb.ListBlobsInRow) error {
	err := b.db.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.LockBlobOwners(ctx, []int64{row.AID}); err != nil {
			return err
		}
		_, err := q.DeleteLostBlob(ctx, tenantdb.DeleteLostBlobParams{AID: row.AID, CID: row.CID, Store: row.Store, Object: row.Object})
		return err
	})
	if err != nil {
		return fmt.Errorf("give up %s: %w", row.Object, err)
	}
	return nil
}

// Learn reads again which stores a schema has, after it was filled.
func (b *Blobs) Learn(ctx context.Context, schema db.Schema) error {
	return b.Stores.learn(ctx, schema)
}

// Prepare opens a store before rows are loaded that name it: afterwards a new store would look like one that has lost what
// the rows say. A store that cannot be opened is met again when the first file comes.
func (b *Blobs) Prepare(ctx context.Context, location string) {
	if location == "" {
		location = b.Stores.location
	}
	if _, err := b.Stores.set.Ready(ctx, location, nil); err != nil {
		b.log.Debug("a store cannot be prepared", "location", location, "err", err)
	}
}
