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

// Limits are what an account and a tenant may have, in bytes; 0: no limit.
type Limits struct {
	Account int64
	Tenant  int64
}

// Upload is what is known of an upload before its bytes.
type Upload struct {
	Owner
	Location    string // the tenant's setting, "" for the deployment's
	ContentType string // what the client says
	Limits      Limits
	// ClearLocation removes the place where a picture was taken from its metadata, which makes it another blob.
	ClearLocation bool
	// OnlyAwaited refuses what no record waits for.
	OnlyAwaited bool
}

// Info is a blob.
type Info struct {
	CID      cid.Cid
	MimeType string
	Size     int64
	Awaited  bool // of an upload: a record named it before it was there
}

// Upload takes a blob in. It is durable when Upload returns, and temporary until a record refers to it, unless one does
// already. Uploading the same bytes again gives the same blob.
//
// Errors: those of r as they are; [ErrEmpty], [ErrTakendown], [ErrAccountQuota], [ErrTenantQuota], [ErrNoAccount],
// [ErrNotAwaited], [ErrStoreFull], [ErrStoreTimeout], [ErrStore].
func (b *Blobs) Upload(ctx context.Context, u Upload, r io.Reader) (Info, error) {
	info, err := b.upload(ctx, u, r)
	b.counts.uploads.end(info.Size, err)
	return info, err
}

func (b *Blobs) upload(ctx context.Context, u Upload, r io.Reader) (Info, error) {
	to, id, err := b.Stores.current(ctx, u.Schema, u.Location)
	if err != nil {
		return Info{}, err
	}
	in := to.NewSpool()
	defer in.Drop()
	if err := in.Fill(r); err != nil {
		return Info{}, err
	}
	if u.ClearLocation {
		if err := in.ClearLocation(); err != nil {
			return Info{}, err
		}
	}
	// What is here now is kept or cleared away, whether or not the client waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.storeTime(in.Size))
	defer cancel()
	return b.keep(ctx, u, to, id, in)
}

// Awaits says whether records of an account name blobs that are not there: it is moving here.
func (b *Blobs) Awaits(ctx context.Context, o Owner) (bool, error) {
	rows, err := b.db.Tenant(o.Schema).Q().ListMissingBlobs(ctx, tenantdb.ListMissingBlobsParams{AID: o.AID, After: []byte{}, MaxRows: 1})
	if err != nil {
		return false, fmt.Errorf("look for missing blobs: %w", err)
	}
	return len(rows) > 0, nil
}

// storeTime is how long a store may take for so many bytes: at least a megabyte a second.
func (b *Blobs) storeTime(size int64) time.Duration {
	return b.cfg.StoreTime + time.Duration(size>>20)*time.Second
}

// keep gives a whole upload its object and its row.
func (b *Blobs) keep(ctx context.Context, u Upload, to *store.Store, id int16, in *store.Spool) (Info, error) {
	a := &arrival{
		owner: u.Owner, cid: in.CID.Bytes(), mime: typeOf(in.Head, u.ContentType), size: in.Size,
		store: id, object: store.NewObject(u.Schema, u.DID, in.CID), announced: to.Announced(), limits: u.Limits,
	}
	if u.OnlyAwaited {
		awaited, err := b.db.Tenant(u.Schema).Q().GetBlobAwaited(ctx, tenantdb.GetBlobAwaitedParams{AID: u.AID, CID: a.cid})
		if err != nil {
			return Info{}, fmt.Errorf("look who waits for an upload: %w", err)
		}
		if !awaited {
			return Info{}, ErrNotAwaited
		}
	}
	if a.announced {
		// Putting it costs more than looking whether it is there.
		if info, ok, err := b.known(ctx, u.Owner, in.CID, a.mime); ok || err != nil {
			return info, err
		}
		err := b.db.Tenant(u.Schema).Q().InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{
			Store: id, Object: a.object, DueAt: b.now().Add(announceTime + b.storeTime(in.Size)),
		})
		if err != nil {
			return Info{}, fmt.Errorf("announce upload: %w", err)
		}
	}
	if err := to.Put(ctx, u.AID, a.object, in); err != nil {
		return Info{}, err
	}
	for range 3 {
		info, again, err := b.record(ctx, u, to, in, a)
		if !again {
			return info, err
		}
	}
	to.Discard(ctx, u.AID, a.object)
	return Info{}, fmt.Errorf("%w: the same file is uploaded and deleted all the time", ErrStoreTimeout)
}

// record gives an object that was put its row and makes it durable, both at once. again: what was in its way is gone.
func (b *Blobs) record(ctx context.Context, u Upload, to *store.Store, in *store.Spool, a *arrival) (info Info, again bool, err error) {
	b.recorder.begin(a)
	unsafe := to.Sync(a.object, in)
	err = <-a.done
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		to.Doubt(u.AID, a.object)
		return Info{}, false, err
	case err != nil:
		to.Discard(ctx, u.AID, a.object)
		return Info{}, false, err
	case unsafe != nil:
		return Info{}, false, b.takeBack(ctx, u, to, in, a, unsafe)
	case a.row.Made:
		// Committed: records may refer to it.
		to.Settle(u.AID, a.object)
		return Info{CID: in.CID, MimeType: a.row.MimeType, Size: in.Size, Awaited: a.row.Awaited}, false, nil
	case a.row.Known && !a.row.Takendown:
		return b.again(ctx, a, to, in.CID)
	}
	to.Discard(ctx, u.AID, a.object)
	switch {
	case a.row.Known:
		return Info{}, false, ErrTakendown
	case a.row.Refused:
		return Info{}, false, b.whyRefused(ctx, u, in.Size)
	}
	return Info{}, false, ErrNoAccount
}

// takeBack removes an object that could not be made durable, and its row before it. It returns why.
func (b *Blobs) takeBack(ctx context.Context, u Upload, to *store.Store, in *store.Spool, a *arrival, why error) error {
	if a.row.Made {
		if err := b.Stores.disown(ctx, u.Schema, u.AID, in.CID, a.store, a.object); err != nil {
			to.Doubt(u.AID, a.object) // the sweep looks at the bytes
			return errors.Join(why, err)
		}
	}
	to.Discard(ctx, u.AID, a.object)
	return why
}

// announceTime is how long an announced upload that never ended stays in its store.
const announceTime = time.Hour

// known is a blob that is there, whose time begins again.
func (b *Blobs) known(ctx context.Context, o Owner, c cid.Cid, mime string) (Info, bool, error) {
	row, err := b.db.Tenant(o.Schema).Q().UpdateBlobRenewed(ctx, tenantdb.UpdateBlobRenewedParams{AID: o.AID, CID: c.Bytes(), Now: b.now(), MimeType: mime})
	switch {
	case db.IsNoRows(err):
		return Info{}, false, nil
	case err != nil:
		return Info{}, false, fmt.Errorf("look for blob: %w", err)
	case row.TakedownRef != nil:
		return Info{}, false, ErrTakendown
	}
	p, err := b.Stores.at(ctx, o.Schema, row.Store)
	if err != nil {
		return Info{}, false, err
	}
	if _, err := p.Stat(ctx, row.Object); err != nil {
		return Info{}, false, nil // then it is put again, and heals
	}
	return Info{CID: c, MimeType: row.MimeType, Size: row.Size}, true, nil
}

// again ends the upload of a blob that was there: its object stays, unless it was lost, or nobody can say yet that it is
// durable. retry: it was deleted in this moment.
func (b *Blobs) again(ctx context.Context, a *arrival, to *store.Store, c cid.Cid) (info Info, retry bool, err error) {
	row, err := b.db.Tenant(a.owner.Schema).Q().UpdateBlobRenewed(ctx, tenantdb.UpdateBlobRenewedParams{AID: a.owner.AID, CID: a.cid, Now: b.now(), MimeType: a.mime})
	switch {
	case db.IsNoRows(err):
		return Info{}, true, nil
	case err == nil && row.TakedownRef != nil:
		err = ErrTakendown
	case err != nil:
		err = fmt.Errorf("renew blob: %w", err)
	}
	if err != nil {
		to.Discard(ctx, a.owner.AID, a.object)
		return Info{}, false, err
	}
	info = Info{CID: c, MimeType: row.MimeType, Size: row.Size}
	old, err := b.Stores.at(ctx, a.owner.Schema, row.Store)
	if err == nil {
		err = old.Confirm(ctx, a.owner.AID, row.Object)
	}
	if err == nil {
		to.Discard(ctx, a.owner.AID, a.object)
		return info, false, nil
	}
	n, err := b.replace(ctx, a.owner.Schema, tenantdb.UpdateBlobObjectParams{
		AID: a.owner.AID, CID: a.cid, Store: row.Store, Object: row.Object, NewStore: a.store, NewObject: a.object,
	}, a.announced, b.now())
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		to.Doubt(a.owner.AID, a.object)
		return Info{}, false, err
	case err != nil:
		to.Discard(ctx, a.owner.AID, a.object)
		return Info{}, false, fmt.Errorf("replace lost blob: %w", err)
	case n == 0:
		return Info{}, true, nil // moved, replaced or deleted in this moment
	}
	b.log.Warn("a blob that was lost came back", "schema", a.owner.Schema, "aid", a.owner.AID, "cid", c)
	to.Settle(a.owner.AID, a.object)
	return info, false, nil
}

// whyRefused says which limit an upload ran into.
func (b *Blobs) whyRefused(ctx context.Context, u Upload, size int64) error {
	c, err := b.db.Tenant(u.Schema).Q().CountBlobs(ctx, u.AID)
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
