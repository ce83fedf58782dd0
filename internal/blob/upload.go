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
func (s *Store) Upload(ctx context.Context, u Upload, r io.Reader) (Info, error) {
	to, id, err := s.current(ctx, u.Schema, u.Location)
	if err != nil {
		return Info{}, err
	}
	in := to.newSpool()
	defer in.drop()
	if err := in.fill(r); err != nil {
		return Info{}, err
	}
	if u.ClearLocation {
		if err := in.clearLocation(); err != nil {
			return Info{}, err
		}
	}
	// What is here now is kept or cleared away, whether or not the client waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.storeTime(in.size))
	defer cancel()
	return s.keep(ctx, u, to, id, in)
}

// Awaits says whether records of an account name blobs that are not there: it is moving here.
func (s *Store) Awaits(ctx context.Context, o Owner) (bool, error) {
	rows, err := s.db.Tenant(o.Schema).Q().ListMissingBlobs(ctx, tenantdb.ListMissingBlobsParams{AID: o.AID, After: []byte{}, MaxRows: 1})
	if err != nil {
		return false, fmt.Errorf("look for missing blobs: %w", err)
	}
	return len(rows) > 0, nil
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
	if u.OnlyAwaited {
		awaited, err := s.db.Tenant(u.Schema).Q().GetBlobAwaited(ctx, tenantdb.GetBlobAwaitedParams{AID: u.AID, CID: a.cid})
		if err != nil {
			return Info{}, fmt.Errorf("look who waits for an upload: %w", err)
		}
		if !awaited {
			return Info{}, ErrNotAwaited
		}
	}
	if a.announced {
		// Putting it costs more than looking whether it is there.
		if info, ok, err := s.known(ctx, u.Owner, in.cid, a.mime); ok || err != nil {
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
	for range 3 {
		info, again, err := s.record(ctx, u, to, in, a)
		if !again {
			return info, err
		}
	}
	to.discard(ctx, u.AID, a.object)
	return Info{}, fmt.Errorf("%w: the same file is uploaded and deleted all the time", ErrStoreTimeout)
}

// record gives an object that was put its row and makes it durable, both at once. again: what was in its way is gone.
func (s *Store) record(ctx context.Context, u Upload, to *place, in *spool, a *arrival) (info Info, again bool, err error) {
	s.beginArrival(a)
	unsafe := to.sync(a.object, in)
	err = <-a.done
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		to.doubt(u.AID, a.object)
		return Info{}, false, err
	case err != nil:
		to.discard(ctx, u.AID, a.object)
		return Info{}, false, err
	case unsafe != nil:
		if a.row.Made {
			if err := s.disown(ctx, u.Schema, u.AID, in.cid, a.store, a.object); err != nil {
				to.doubt(u.AID, a.object) // the sweep looks at the bytes
				return Info{}, false, errors.Join(unsafe, err)
			}
		}
		to.discard(ctx, u.AID, a.object)
		return Info{}, false, unsafe
	case a.row.Made:
		// Committed: records may refer to it.
		if in.entry != nil {
			to.settle(u.AID, a.object) // asks the disk for nothing
		} else {
			s.settle(to, u.AID, a.object)
		}
		return Info{CID: in.cid, MimeType: a.row.MimeType, Size: in.size, Awaited: a.row.Awaited}, false, nil
	case a.row.Known && !a.row.Takendown:
		return s.again(ctx, a, to, in.cid)
	}
	to.discard(ctx, u.AID, a.object)
	switch {
	case a.row.Known:
		return Info{}, false, ErrTakendown
	case a.row.Refused:
		return Info{}, false, s.whyRefused(ctx, u, in.size)
	}
	return Info{}, false, ErrNoAccount
}

// settle settles an object while its client hears of it already.
func (s *Store) settle(at *place, aid int64, object string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // nobody waits for another goroutine any more
		at.settle(aid, object)
		return
	}
	s.settling = append(s.settling, func() { at.settle(aid, object) })
	if !s.settles {
		s.settles = true
		s.running.Add(1)
		go s.runSettle()
	}
}

func (s *Store) runSettle() {
	defer s.running.Done()
	for {
		s.mu.Lock()
		all := s.settling
		s.settling = nil
		s.settles = len(all) > 0
		s.mu.Unlock()
		if len(all) == 0 {
			return
		}
		for _, settle := range all {
			settle()
		}
	}
}

// announceTime is how long an announced upload that never ended stays in its store.
const announceTime = time.Hour

// known is a blob that is there, whose time begins again.
func (s *Store) known(ctx context.Context, o Owner, c cid.Cid, mime string) (Info, bool, error) {
	row, err := s.db.Tenant(o.Schema).Q().UpdateBlobRenewed(ctx, tenantdb.UpdateBlobRenewedParams{AID: o.AID, CID: c.Bytes(), Now: s.now(), MimeType: mime})
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
	return Info{CID: c, MimeType: row.MimeType, Size: row.Size}, true, nil
}

// again ends the upload of a blob that was there: its object stays, unless it was lost, or nobody can say yet that it is
// durable. retry: it was deleted in this moment.
func (s *Store) again(ctx context.Context, a *arrival, to *place, c cid.Cid) (info Info, retry bool, err error) {
	row, err := s.db.Tenant(a.owner.Schema).Q().UpdateBlobRenewed(ctx, tenantdb.UpdateBlobRenewedParams{AID: a.owner.AID, CID: a.cid, Now: s.now(), MimeType: a.mime})
	switch {
	case db.IsNoRows(err):
		return Info{}, true, nil
	case err == nil && row.TakedownRef != nil:
		err = ErrTakendown
	case err != nil:
		err = fmt.Errorf("renew blob: %w", err)
	}
	if err != nil {
		to.discard(ctx, a.owner.AID, a.object)
		return Info{}, false, err
	}
	info = Info{CID: c, MimeType: row.MimeType, Size: row.Size}
	old, err := s.placeOf(ctx, a.owner.Schema, row.Store)
	if err == nil {
		err = old.confirm(ctx, a.owner.AID, row.Object)
	}
	if err == nil {
		to.discard(ctx, a.owner.AID, a.object)
		return info, false, nil
	}
	t := s.db.Tenant(a.owner.Schema)
	var n int64
	err = t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		n, err = q.UpdateBlobObject(ctx, tenantdb.UpdateBlobObjectParams{
			AID: a.owner.AID, CID: a.cid, Store: row.Store, Object: row.Object, NewStore: a.store, NewObject: a.object,
		})
		if err == nil && n > 0 && a.announced {
			err = q.DeleteBlobTrash(ctx, tenantdb.DeleteBlobTrashParams{Stores: []int16{a.store}, Objects: []string{a.object}})
		}
		if err == nil && n > 0 {
			err = q.InsertBlobTrash(ctx, tenantdb.InsertBlobTrashParams{Store: row.Store, Object: row.Object, DueAt: s.now()})
		}
		return err
	})
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		to.doubt(a.owner.AID, a.object)
		return Info{}, false, err
	case err != nil:
		to.discard(ctx, a.owner.AID, a.object)
		return Info{}, false, fmt.Errorf("replace lost blob: %w", err)
	case n == 0:
		return Info{}, true, nil // moved, replaced or deleted in this moment
	}
	s.log.Warn("a blob that was lost came back", "schema", a.owner.Schema, "aid", a.owner.AID, "cid", c)
	s.settle(to, a.owner.AID, a.object)
	return info, false, nil
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
