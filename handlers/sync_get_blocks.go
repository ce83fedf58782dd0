package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/repodb"
)

// getBlocks gives single blocks, all or none, in an archive without roots.
// spec: lexicon com.atproto.sync.getBlocks
func (m syncMethods) getBlocks(ctx context.Context, v xrpc.ViewerCaller, in *syncGetBlocksInput) (*syncGetBlocksOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	if len(in.Cids) > repodb.MaxBlocks {
		return nil, xrpc.Invalid("at most %d blocks can be asked for at once", repodb.MaxBlocks)
	}
	want := make([]cid.Cid, len(in.Cids))
	for i, text := range in.Cids {
		if want[i], err = cid.Decode(string(text)); err != nil {
			return nil, xrpc.Invalid("cids must be CIDs")
		}
	}
	blocks, err := m.repos.Blocks(m.asNew(ctx, v, a), v.Tenant.Schema, a.AID, want)
	var missing *repodb.MissingBlocks
	if errors.As(err, &missing) {
		return nil, xrpc.Refuse(http.StatusBadRequest, "BlockNotFound", "%s", xrpc.Said(missing, nil))
	}
	if err != nil {
		return nil, err
	}
	return fewBlocks(blocks), nil
}
