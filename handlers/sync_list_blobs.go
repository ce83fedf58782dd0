package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/repo"
)

// listBlobs lists the blobs that the repository's records name and that getBlob would serve; with since, those named by
// records newer than that revision.
// spec: lexicon com.atproto.sync.listBlobs
func (m syncMethods) listBlobs(ctx context.Context, v xrpc.ViewerCaller, in *syncListBlobsInput) (*syncListBlobsOutput, error) {
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	var since repo.TID
	if in.Since != "" {
		if since, err = repo.ParseTID(string(in.Since)); err != nil {
			return nil, xrpc.Invalid("since must be a TID")
		}
	}
	after, err := cidCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := m.blobs.List(m.asNew(ctx, v, a), v.Tenant.Schema, a.AID, since, after, int(in.Limit))
	if err != nil {
		return nil, err
	}
	out := new(syncListBlobsOutput)
	out.Body.Cids = make([]xrpc.CID, len(list))
	for i, c := range list {
		out.Body.Cids[i] = xrpc.CID(c.String())
	}
	if n := len(list); n == int(in.Limit) {
		out.Body.Cursor = list[n-1].String()
	}
	return out, nil
}
