package repodb

import (
	"context"

	"github.com/auroralocus/locus/db"
)

// AsNew gives a context in which a replica answers reads of a repository, if there is one that has all that the primary has
// of it now: whoever was told of a commit, by whatever process, never reads what was before it. It asks the primary for one
// row. Where no replica is new enough the context is the caller's, or has the primary answer.
func (s *Store) AsNew(ctx context.Context, schema db.Schema, aid int64) context.Context {
	lent, ok := s.db.Lagging(ctx, schema, db.Lag{})
	if !ok {
		return ctx
	}
	q := s.db.Tenant(schema).Q()
	want, err := q.GetReadPoint(ctx, aid)
	if err != nil {
		return ctx // whoever reads finds out
	}
	have, err := q.GetReadPoint(lent, aid)
	// A restore and a step back pass over numbers, and may leave older revisions.
	if err != nil || have.HeadRev < want.HeadRev || have.DID != want.DID || have.JumpedTo != want.JumpedTo || have.Timeline != want.Timeline {
		db.Waive(lent)
	}
	return lent
}
