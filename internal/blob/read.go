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
	"github.com/auroralocus/locus/repo"
)

// Opened is a blob to be read. On a disk it is an *os.File.
type Opened struct {
	io.ReadSeekCloser
	Info
	CreatedAt time.Time
}

// Get is a blob that the public may see: there, not taken down, and referred to by a public record. Reachability is
// asked for each time, never remembered. Errors: [ErrNotFound].
func (b *Blobs) Get(ctx context.Context, schema db.Schema, aid int64, c cid.Cid) (Info, error) {
	row, err := b.visible(ctx, schema, aid, c)
	if err != nil {
		return Info{}, err
	}
	return Info{CID: c, MimeType: row.MimeType, Size: row.Size}, nil
}

func (b *Blobs) visible(ctx context.Context, schema db.Schema, aid int64, c cid.Cid) (tenantdb.GetBlobRow, error) {
	row, err := b.db.Tenant(schema).Q().GetBlob(ctx, tenantdb.GetBlobParams{AID: aid, CID: c.Bytes()})
	switch {
	case db.IsNoRows(err):
		return row, ErrNotFound
	case err != nil:
		return row, fmt.Errorf("read blob %s: %w", c, err)
	case row.TakedownRef != nil || !row.Referenced:
		return row, ErrNotFound
	}
	return row, nil
}

// Open opens a blob that the public may see. Errors: [ErrNotFound], [ErrLost], [ErrStore], [ErrStoreTimeout].
func (b *Blobs) Open(ctx context.Context, schema db.Schema, aid int64, c cid.Cid) (*Opened, error) {
	f, err := b.open(ctx, schema, aid, c)
	size := int64(0)
	if err == nil {
		size = f.Size
	}
	b.counts.reads.end(size, err)
	return f, err
}

func (b *Blobs) open(ctx context.Context, schema db.Schema, aid int64, c cid.Cid) (*Opened, error) {
	var last string
	for {
		row, err := b.visible(ctx, schema, aid, c)
		if err != nil {
			return nil, err
		}
		if row.Object == last {
			return nil, fmt.Errorf("%w: %s", ErrLost, row.Object)
		}
		p, err := b.Stores.at(ctx, schema, row.Store)
		if err != nil {
			return nil, err
		}
		f, size, err := p.Open(ctx, row.Object)
		if errors.Is(err, store.ErrMissing) {
			last = row.Object // deleted or moved since the row was read: look again
			continue
		}
		if err != nil {
			return nil, err
		}
		if size != row.Size {
			_ = f.Close()
			return nil, fmt.Errorf("%w: %s has %d bytes, not %d", ErrLost, row.Object, size, row.Size)
		}
		return &Opened{f, Info{CID: c, MimeType: row.MimeType, Size: row.Size}, row.CreatedAt}, nil
	}
}

// presignedTime is how long a presigned link works: long enough to follow it.
const presignedTime = 5 * time.Minute

// Presigned is a link to a blob in its S3 store, for a blob that the public may see; "" when it is on a disk.
func (b *Blobs) Presigned(ctx context.Context, schema db.Schema, aid int64, c cid.Cid) (string, error) {
	row, err := b.visible(ctx, schema, aid, c)
	if err != nil {
		return "", err
	}
	if store.Quarantined(row.Object) { // restored a moment ago
		return "", nil
	}
	at, err := b.Stores.at(ctx, schema, row.Store)
	if err != nil {
		return "", err
	}
	return at.Presign(ctx, row.Object, Info{MimeType: row.MimeType}.ServedAs(), c.String(), presignedTime)
}

// List lists the blobs that public records newer than since refer to, by CID, behind after.
func (b *Blobs) List(ctx context.Context, schema db.Schema, aid int64, since repo.TID, after cid.Cid, limit int) ([]cid.Cid, error) {
	rows, err := b.db.Tenant(schema).Q().ListBlobs(ctx, tenantdb.ListBlobsParams{
		AID: aid, After: afterBytes(after), Since: int64(since), MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	out := make([]cid.Cid, len(rows))
	for i, raw := range rows {
		if out[i], err = cid.Cast(raw); err != nil {
			return nil, fmt.Errorf("list blobs: %w", err)
		}
	}
	return out, nil
}

// afterBytes is a cursor: the zero CID is before all others.
func afterBytes(c cid.Cid) []byte {
	if !c.Defined() {
		return []byte{}
	}
	return c.Bytes()
}

// Missing is a blob that a record refers to and that is not there.
type Missing struct {
	CID  cid.Cid
	Path string // of one such record
}

// ListMissing lists them by CID, behind after.
func (b *Blobs) ListMissing(ctx context.Context, schema db.Schema, aid int64, after cid.Cid, limit int) ([]Missing, error) {
	rows, err := b.db.Tenant(schema).Q().ListMissingBlobs(ctx, tenantdb.ListMissingBlobsParams{AID: aid, After: afterBytes(after), MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list missing blobs: %w", err)
	}
	out := make([]Missing, len(rows))
	for i, row := range rows {
		out[i].Path = row.Path
		if out[i].CID, err = cid.Cast(row.CID); err != nil {
			return nil, fmt.Errorf("list missing blobs: %w", err)
		}
	}
	return out, nil
}

// Usage is what an account has.
type Usage struct {
	Expected int64 // blobs that its records refer to
	Held     int64 // blobs there, temporary ones included
	Bytes    int64
	MaxBytes int64 // a limit of its own; 0: none, -1: the tenant's setting
}

// UsageOf counts an account's blobs.
func UsageOf(ctx context.Context, q *tenantdb.Queries, aid int64) (Usage, error) {
	c, err := q.CountBlobs(ctx, aid)
	if err != nil {
		return Usage{}, fmt.Errorf("count blobs: %w", err)
	}
	return Usage{c.Expected, c.Held, c.Bytes, c.MaxBytes}, nil
}

// SetTakedown takes a blob down, or restores it with a nil ref. found is false when the account has no such blob. A
// takedown outlives the records that refer to the blob; restored without any, it is temporary. The bytes follow into the
// quarantine, or out of it; when that cannot be done now it is done later.
func (b *Blobs) SetTakedown(ctx context.Context, schema db.Schema, aid int64, c cid.Cid, ref *string) (found bool, err error) {
	err = b.db.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		found, err = SetTakedown(ctx, q, b.now(), aid, c, ref)
		return err
	})
	if err == nil && found {
		b.MoveQuarantined(ctx, schema)
	}
	return found, err
}

// SetTakedown is the same inside the caller's transaction, who calls [Store.MoveQuarantined] after it.
func SetTakedown(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, c cid.Cid, ref *string) (found bool, err error) {
	if err := q.LockBlobOwners(ctx, []int64{aid}); err != nil {
		return false, fmt.Errorf("lock account %d: %w", aid, err)
	}
	n, err := q.UpdateBlobTakedown(ctx, tenantdb.UpdateBlobTakedownParams{AID: aid, CID: c.Bytes(), TakedownRef: ref, Now: now})
	if err != nil {
		return false, fmt.Errorf("take down blob %s: %w", c, err)
	}
	return n > 0, nil
}
