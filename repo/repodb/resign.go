package repodb

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// Resign makes a new commit of the repository as it is, with another signature: the account's key changes in the same
// transaction. Nothing of the tree moves, so what tells of it is a #sync. Forget the account after the commit; other
// processes lose their next compare-and-set and look again. Accounts that cannot be written to may be signed anew.
// Errors: [ErrRepoNotFound].
func Resign(ctx context.Context, q *tenantdb.Queries, aid int64, signer repo.Signer, now time.Time) (repo.Head, []byte, error) {
	row, err := q.LockRepoHead(ctx, aid)
	if db.IsNoRows(err) {
		return repo.Head{}, nil, ErrRepoNotFound
	}
	if err != nil {
		return repo.Head{}, nil, fmt.Errorf("lock head of actor %d: %w", aid, err)
	}
	old, err := decodeHead(row.DID, row.HeadCID, row.HeadRev, row.HeadCommit)
	if err != nil {
		return repo.Head{}, nil, err
	}
	c := repo.SignedCommit{DID: old.DID, Rev: repo.NextRev(old.Rev, now), Data: old.Data}
	if c.Sig, err = signer.Sign(c.Unsigned()); err != nil {
		return repo.Head{}, nil, fmt.Errorf("sign commit of %s: %w", old.DID, err)
	}
	block := c.Block()
	head := repo.Head{DID: old.DID, CID: dagcbor.CID(block), Rev: c.Rev, Data: c.Data}
	n, err := q.UpdateRepoHead(ctx, tenantdb.UpdateRepoHeadParams{
		AID: aid, Prev: int64(old.Rev), Rev: int64(head.Rev), CID: head.CID.Bytes(), Block: block,
	})
	if err != nil {
		return repo.Head{}, nil, fmt.Errorf("update head of actor %d: %w", aid, err)
	}
	if n != 1 {
		return repo.Head{}, nil, fmt.Errorf("update head of actor %d under its lock: %w", aid, ErrCorrupt)
	}
	return head, block, nil
}
