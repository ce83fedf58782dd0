package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// quarantineNow is how long a takedown's caller waits for the bytes to be moved; the sweep goes on with them.
const quarantineNow = 10 * time.Second

// MoveQuarantined moves a tenant's blobs that were just taken down or restored, so that neither a link given out before
// nor a CDN that reads the store finds them any more. That a blob is in the wrong part of its store is what its row says, so whatever
// does not work here is done by the next sweep, of whichever process.
func (b *Blobs) MoveQuarantined(ctx context.Context, schema db.Schema) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quarantineNow)
	defer cancel()
	if _, err := b.quarantine(ctx, schema); err != nil {
		b.log.Warn("a blob is taken down or restored, and its bytes are not yet moved: the sweep tries again", "schema", schema, "err", err)
	}
}

// quarantine moves all of them, and says how many. One that cannot be moved does not keep others.
func (b *Blobs) quarantine(ctx context.Context, schema db.Schema) (int, error) {
	moved := 0
	var failed []error
	after := tenantdb.ListBlobsMisplacedParams{AfterCID: []byte{}, MaxRows: 100}
	for {
		rows, err := b.db.Tenant(schema).Q().ListBlobsMisplaced(ctx, after)
		if err != nil {
			return moved, fmt.Errorf("look for blobs to quarantine: %w", err)
		}
		if len(rows) == 0 {
			return moved, errors.Join(failed...)
		}
		for _, row := range rows {
			after.AfterAID, after.AfterCID = row.AID, row.CID
			ok, err := b.quarantineOne(ctx, schema, tenantdb.ListBlobsInRow(row))
			switch {
			case err != nil && ctx.Err() != nil:
				return moved, errors.Join(append(failed, err)...)
			case errors.Is(err, ErrAway): // said already
			case err != nil && len(failed) < 3:
				failed = append(failed, err)
			case ok:
				moved++
			}
		}
	}
}

// quarantineOne gives a blob an object in the right part of its store, and deletes the one before.
func (b *Blobs) quarantineOne(ctx context.Context, schema db.Schema, row tenantdb.ListBlobsInRow) (bool, error) {
	at, err := b.Stores.at(ctx, schema, row.Store)
	if err != nil {
		return false, err
	}
	moved, err := b.moveOne(ctx, schema, at, at, row.Store, row)
	if err != nil || !moved {
		return false, err
	}
	q := b.db.Tenant(schema).Q()
	// The trash has it; a takedown need not wait for it.
	if at.Remove(ctx, []string{row.Object})[row.Object] == nil {
		if err := q.DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{row.Store}, Objects: []string{row.Object}}); err != nil {
			return true, err
		}
	}
	if row.TakedownRef == nil {
		return true, nil
	}
	// Nor what a move between stores left for downloads to end with.
	c, err := cid.Cast(row.CID)
	if err != nil {
		return true, err
	}
	name := store.NewObject(schema, row.DID, c)
	first := name[:strings.LastIndexByte(name, '.')+1]
	p := tenantdb.UpdateBlobTrashHastenedParams{Now: b.now(), Until: b.now().Add(moveGrace), First: first, Behind: first + "~"}
	for _, k := range b.Stores.known(schema) {
		p.Stores = append(p.Stores, k.id)
	}
	return true, q.UpdateBlobTrashHastened(ctx, p)
}

// RemoveTenant deletes every object of a tenant from every store that it ever used. The tenant must not serve any more,
// and its schema must still be there: it knows the stores and their keys. Ended at any moment, it is called again.
func (b *Blobs) RemoveTenant(ctx context.Context, schema db.Schema, each func(deleted int64)) error {
	if err := b.Stores.learn(ctx, schema); err != nil {
		return err
	}
	deleted := int64(0)
	for _, k := range b.Stores.known(schema) {
		p, err := b.Stores.at(ctx, schema, k.id)
		if err != nil {
			return err
		}
		var page []string
		flush := func() error {
			for _, err := range p.Remove(ctx, page) {
				return fmt.Errorf("delete files of %s: %w", schema, err)
			}
			deleted += int64(len(page))
			page = page[:0]
			if each != nil {
				each(deleted)
			}
			return nil
		}
		err = p.ListAll(ctx, schema.String(), func(f store.Found) error {
			if page = append(page, f.Object); len(page) < verifyPage {
				return nil
			}
			return flush()
		})
		if err == nil && len(page) > 0 {
			err = flush()
		}
		if folders, ok := p.Objects.(interface{ DropFolders(schema string) error }); ok && err == nil {
			err = folders.DropFolders(schema.String())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
