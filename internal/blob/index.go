package blob

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// Record is a record whose references are to be known.
type Record struct {
	Path  string
	Block []byte // canonical DAG-CBOR
}

// Index notes what records refer to that an import brought, legacy references too, inside the import's transaction. The
// blobs may be missing: they are what listMissingBlobs lists. rev is above that of every commit before. Large imports
// call it in slices, with the same rev, and [Unindex] after the last.
func Index(ctx context.Context, q *tenantdb.Queries, aid int64, rev repo.TID, records []Record) error {
	p := tenantdb.UpsertImportedRecordBlobsParams{AID: aid, Rev: int64(rev)}
	for i := range records {
		refs, err := dagcbor.Blobs(records[i].Block)
		if err != nil {
			return fmt.Errorf("blobs of %s: %w", records[i].Path, err)
		}
		for _, r := range refs {
			p.Cids = append(p.Cids, r.CID.Bytes())
			p.Paths = append(p.Paths, records[i].Path)
			p.MimeTypes = append(p.MimeTypes, r.MimeType)
		}
	}
	if len(p.Cids) == 0 {
		return nil
	}
	if err := q.LockBlobOwners(ctx, []int64{aid}); err != nil {
		return fmt.Errorf("lock account %d: %w", aid, err)
	}
	if err := q.UpsertImportedRecordBlobs(ctx, p); err != nil {
		return fmt.Errorf("index references: %w", err)
	}
	return nil
}

// Unindex forgets what records referred to that an import removed or replaced; blobs that nothing refers to any more go.
// It comes after all of the import's [Index], with the same rev: a blob may have changed its record.
func Unindex(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, rev repo.TID, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	if err := q.LockBlobOwners(ctx, []int64{aid}); err != nil {
		return fmt.Errorf("lock account %d: %w", aid, err)
	}
	err := q.DeleteRecordBlobsAt(ctx, tenantdb.DeleteRecordBlobsAtParams{AID: aid, Rev: int64(rev), Now: now, Paths: paths})
	if err != nil {
		return fmt.Errorf("drop references: %w", err)
	}
	return nil
}
