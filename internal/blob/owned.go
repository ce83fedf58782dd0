package blob

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/ipfs/go-cid"
)

// referrer asks the database whether a row has an object of this store. An object of a schema that is no more has none.
func (s *Stores) referrer(location string) store.Referrer {
	return func(ctx context.Context, aid int64, object string, whole func() error) (bool, error) {
		schema, ok1 := store.SchemaOf(object)
		c, ok2 := store.CIDOf(object)
		if !ok1 || !ok2 {
			return false, nil
		}
		id, err := s.idOf(ctx, schema, location)
		if isNoTable(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		row, err := s.db.Tenant(schema).Q().GetBlob(ctx, tenantdb.GetBlobParams{AID: aid, CID: c.Bytes()})
		switch {
		case db.IsNoRows(err):
			return false, nil
		case err != nil:
			return false, err
		case row.Store != id || row.Object != object:
			return false, nil
		}
		if err := whole(); !errors.Is(err, store.ErrMissing) {
			return true, err
		}
		// The power failed before anybody was told of this upload.
		s.log.Warn("the bytes of an upload that was never acknowledged are not there: its row goes", "object", object)
		return false, s.disown(ctx, schema, aid, c, id, object)
	}
}

// disown deletes a blob's row, if it still has this object.
func (s *Stores) disown(ctx context.Context, schema db.Schema, aid int64, c cid.Cid, id int16, object string) error {
	err := s.db.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.LockBlobOwners(ctx, []int64{aid}); err != nil {
			return err
		}
		_, err := q.DeleteLostBlob(ctx, tenantdb.DeleteLostBlobParams{AID: aid, CID: c.Bytes(), Store: id, Object: object})
		return err
	})
	if err != nil {
		return fmt.Errorf("delete row of lost blob: %w", err)
	}
	return nil
}
