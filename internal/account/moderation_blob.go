package account

import (
	"context"
	"fmt"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// BlobTakedown is the state of an account's blob; c is the binary CID. Errors: [ErrSubjectNotFound]. Blobs are taken
// down by package blob, which owns them.
func BlobTakedown(ctx context.Context, q *tenantdb.Queries, aid int64, c []byte) (Takedown, error) {
	ref, err := q.GetBlobTakedown(ctx, tenantdb.GetBlobTakedownParams{AID: aid, CID: c})
	if db.IsNoRows(err) {
		return Takedown{}, ErrSubjectNotFound
	}
	if err != nil {
		return Takedown{}, fmt.Errorf("look for blob of actor %d: %w", aid, err)
	}
	return takedownOf(ref), nil
}
