package repodb

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/mst"
)

// head is what a write starts from.
type head struct {
	repo.Head
	block  []byte // the signed commit
	signer *keyring.Signer
	usage  usage
}

// loadHead reads a repository's head and key, and refuses accounts that cannot be written to.
func (s *Store) loadHead(ctx context.Context, key repoKey) (*head, error) {
	row, err := s.db.Tenant(key.schema).Q().GetRepoHead(ctx, key.aid)
	if db.IsNoRows(err) {
		return nil, ErrRepoNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	if err := writable(row.CreatingSince, row.DeactivatedAt, row.TakedownRef, row.HeadCID); err != nil {
		return nil, err
	}
	h := &head{block: row.HeadCommit, usage: usage{own: [2]*int64{row.MaxRecords, row.MaxRecordBytes}, version: row.LimitsVersion}}
	if row.RecordCount != nil {
		h.usage.counted, h.usage.have = true, Sum{*row.RecordCount, *row.RecordBytes}
	}
	if h.Head, err = decodeHead(row.DID, row.HeadCID, row.HeadRev, row.HeadCommit); err != nil {
		return nil, err
	}
	if h.signer, err = s.keys.Signer(key.schema.String(), key.aid, row.Sealed); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return h, nil
}

// writable names what keeps an account from being written to. A takedown outranks a deactivation.
func writable(creating, deactivated *time.Time, takedown *string, headCID []byte) error {
	switch {
	case creating != nil || headCID == nil:
		return ErrRepoNotFound
	case takedown != nil:
		return ErrRepoTakendown
	case deactivated != nil:
		return ErrRepoDeactivated
	}
	return nil
}

// decodeHead reads the head columns of an actor row.
func decodeHead(did string, rawCID []byte, rev int64, block []byte) (repo.Head, error) {
	c, err := cid.Cast(rawCID)
	if err != nil {
		return repo.Head{}, fmt.Errorf("%w: head cid: %w", ErrCorrupt, err)
	}
	commit, err := repo.DecodeCommit(block)
	if err != nil {
		return repo.Head{}, fmt.Errorf("%w: head commit: %w", ErrCorrupt, err)
	}
	return repo.Head{DID: did, CID: c, Rev: repo.TID(rev), Data: commit.Data}, nil
}

// know makes st remember h and no nodes.
func (st *state) know(h *head) {
	st.head, st.tree = h, mst.OpenRef(h.Data, noNodes)
}

// noNodes is the loader of a tree that is only remembered: each use brings its own, which ends with it.
func noNodes(mst.Ref) ([]byte, error) { return nil, mst.ErrNotFound }

// forget makes st remember nothing.
func (st *state) forget() { st.head, st.tree = nil, nil }

// InsertRepo makes the first commit of a new account, of an empty tree, inside the transaction that made its actor row.
// The caller appends the events (firehose.NewCommit) when the account becomes visible.
func InsertRepo(ctx context.Context, q *tenantdb.Queries, aid int64, did string, signer repo.Signer, now time.Time) (*repo.Commit, error) {
	c, err := repo.Init(did, repo.NextRev(0, now), signer)
	if err != nil {
		return nil, fmt.Errorf("first commit: %w", err)
	}
	for _, n := range c.Diff.New {
		err := q.InsertNode(ctx, tenantdb.InsertNodeParams{
			AID: aid, Level: int16(n.Level), After: n.After, Rev: int64(c.Head.Rev), CID: n.CID.Bytes(), Content: n.Block,
		})
		if err != nil {
			return nil, fmt.Errorf("insert node: %w", err)
		}
	}
	changed, err := q.UpdateRepoHead(ctx, tenantdb.UpdateRepoHeadParams{
		AID: aid, Prev: 0, Rev: int64(c.Head.Rev), CID: c.Head.CID.Bytes(), Block: c.Block,
	})
	if err != nil {
		return nil, fmt.Errorf("update head: %w", err)
	}
	if changed != 1 {
		return nil, fmt.Errorf("first commit of actor %d: it has one: %w", aid, ErrCorrupt)
	}
	return c, nil
}
