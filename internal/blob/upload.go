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
	"github.com/auroralocus/locus/internal/picture"
)

// Limits are what an account and a tenant may have, in bytes; 0: no limit.
type Limits struct {
	Account int64
	Tenant  int64
}

// Upload is what is known of an upload before its bytes.
type Upload struct {
	Owner
	Location    string // the tenant's setting, "" for the deployment's store
	ContentType string // what the client says
	Limits      Limits
	// ClearLocation removes the place where a JPEG was taken from its metadata, which makes it another blob.
	ClearLocation bool
}

// Info is a blob.
type Info struct {
	CID      cid.Cid
	MimeType string
	Size     int64
}

// Upload takes a blob in. It is durable when Upload returns, and temporary until a record refers to it, unless one does
// already. Uploading the same bytes again gives the same blob.
//
// Errors: those of r as they are; [ErrEmpty], [ErrTakendown], [ErrAccountQuota], [ErrTenantQuota], [ErrNoAccount],
// [ErrStoreFull], [ErrStoreTimeout], [ErrStore].
func (s *Store) Upload(ctx context.Context, u Upload, r io.Reader) (Info, error) {
	to, id, err := s.current(ctx, u.Schema, u.Location)
	if err != nil {
		return Info{}, err
	}
	in, err := to.newSpool()
	if err != nil {
		return Info{}, err
	}
	defer in.drop()
	if err := in.fill(r); err != nil {
		return Info{}, err
	}
	if u.ClearLocation && sniff(in.head) == "image/jpeg" {
		changed, err := picture.ClearLocation(in.file, in.size)
		if err != nil {
			return Info{}, storeError("change upload", err)
		}
		if changed {
			if in.cid, err = digest(io.NewSectionReader(in.file, 0, in.size)); err != nil {
				return Info{}, storeError("read upload", err)
			}
		}
	}
	// What is here now is kept or cleared away, whether or not the client waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.storeTime(in.size))
	defer cancel()
	return s.keep(ctx, u, to, id, in)
}

// storeTime is how long a store may take for so many bytes: at least a megabyte a second.
func (s *Store) storeTime(size int64) time.Duration {
	return s.cfg.StoreTime + time.Duration(size>>20)*time.Second
}

// keep gives a whole upload its object and its row.
func (s *Store) keep(ctx context.Context, u Upload, to *place, id int16, in *spool) (Info, error) {
	a := &arrival{
		owner: u.Owner, cid: in.cid.Bytes(), mime: typeOf(in.head, u.ContentType), size: in.size,
		store: id, object: newObject(u.Schema, u.DID, in.cid), announced: to.announced(), limits: u.Limits,
	}
	if a.announced {
		// Putting it costs more than looking whether it is there.
		if info, ok, err := s.known(ctx, u.Owner, in.cid); ok || err != nil {
			return info, err
		}
		err := s.db.Tenant(u.Schema).Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{
			Store: id, Object: a.object, DueAt: s.now().Add(announceTime + s.storeTime(in.size)),
		})
		if err != nil {
			return Info{}, fmt.Errorf("announce upload: %w", err)
		}
	}
	if err := to.put(ctx, u.AID, a.object, in); err != nil {
		return Info{}, err
	}
	err := s.arrive(a)
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		// Whether there is a row will be seen by the sweep.
		return Info{}, err
	case err != nil:
		to.discard(ctx, u.AID, a.object)
		return Info{}, err
	case a.row.Made:
		// Committed: records may refer to it.
		to.settle(u.AID, a.object)
		return Info{in.cid, a.row.MimeType, in.size}, nil
	case a.row.Known && !a.row.Takendown:
		return s.again(ctx, a, to, in.cid)
	}
	to.discard(ctx, u.AID, a.object)
	switch {
	case a.row.Known:
		return Info{}, ErrTakendown
	case a.row.Refused:
		return Info{}, s.whyRefused(ctx, u, in.size)
	}
	return Info{}, ErrNoAccount
}

// announceTime is how long an announced upload that never ended stays in its store.
const announceTime = time.Hour

// known is a blob that is there, whose time begins again.
func (s *Store) known(ctx context.Context, o Owner, c cid.Cid) (Info, bool, error) {
	row, err := s.db.Tenant(o.Schema).Q().UpdateBlobRenewed(ctx, tenantdb.UpdateBlobRenewedParams{AID: o.AID, CID: c.Bytes(), Now: s.now()})
	switch {
	case db.IsNoRows(err):
		return Info{}, false, nil
	case err != nil:
		return Info{}, false, fmt.Errorf("look for blob: %w", err)
	case row.TakedownRef != nil:
		return Info{}, false, ErrTakendown
	}
	p, err := s.placeOf(ctx, o.Schema, row.Store)
	if err != nil {
		return Info{}, false, err
	}
	if _, err := p.stat(ctx, row.Object); err != nil {
		return Info{}, false, nil // then it is put again, and heals
	}
	return Info{c, row.MimeType, row.Size}, true, nil
}

// again ends the upload of a blob that was there: its object stays, unless it was lost.
func (s *Store) again(ctx context.Context, a *arrival, to *place, c cid.Cid) (Info, error) {
	info := Info{c, a.row.MimeType, a.row.Size}
	old, err := s.placeOf(ctx, a.owner.Schema, a.row.Store)
	if err == nil {
		_, err = old.stat(ctx, a.row.Object)
	}
	if !errors.Is(err, errMissing) {
		to.discard(ctx, a.owner.AID, a.object)
		return info, nil
	}
	n, err := s.db.Tenant(a.owner.Schema).Q().UpdateBlobObject(ctx, tenantdb.UpdateBlobObjectParams{
		AID: a.owner.AID, CID: a.cid, Store: a.row.Store, Object: a.row.Object, NewStore: a.store, NewObject: a.object,
	})
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		return Info{}, err
	case err != nil || n == 0:
		to.discard(ctx, a.owner.AID, a.object)
		if err != nil {
			return Info{}, fmt.Errorf("replace lost blob: %w", err)
		}
		return info, nil // moved or deleted in this moment
	}
	s.log.Warn("a blob that was lost came back", "schema", a.owner.Schema, "aid", a.owner.AID, "cid", c)
	to.settle(a.owner.AID, a.object)
	if a.announced {
		err = s.db.Tenant(a.owner.Schema).Q().DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{a.store}, Objects: []string{a.object}})
	}
	return info, err
}

// whyRefused says which limit an upload ran into.
func (s *Store) whyRefused(ctx context.Context, u Upload, size int64) error {
	c, err := s.db.Tenant(u.Schema).Q().CountBlobs(ctx, u.AID)
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	limit := u.Limits.Account
	if c.MaxBytes >= 0 {
		limit = c.MaxBytes
	}
	if limit > 0 && c.Bytes+size > limit {
		return &QuotaError{Used: c.Bytes, Limit: limit}
	}
	if u.Limits.Tenant > 0 {
		return ErrTenantQuota
	}
	return fmt.Errorf("%w: the upload took too long to be recorded", ErrStoreTimeout)
}

// QuotaError is [ErrAccountQuota] with its numbers.
type QuotaError struct{ Used, Limit int64 }

func (e *QuotaError) Error() string {
	return fmt.Sprintf("Your files take %d of %d bytes: this one does not fit", e.Used, e.Limit)
}

// Said is the text for the client.
func (e *QuotaError) Said() string { return e.Error() }

func (e *QuotaError) Unwrap() error { return ErrAccountQuota }
