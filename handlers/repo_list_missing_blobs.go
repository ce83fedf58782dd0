package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"
)

// listMissingBlobs lists what the account's records name and nobody has uploaded yet, as when an account moves here.
// spec: lexicon com.atproto.repo.listMissingBlobs
func (m repoMethods) listMissingBlobs(ctx context.Context, c xrpc.AccountCaller, in *repoListMissingBlobsInput) (*repoListMissingBlobsOutput, error) {
	after, err := cidCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := m.blobs.ListMissing(ctx, c.Tenant.Schema, c.AID, after, int(in.Limit))
	if err != nil {
		return nil, err
	}
	out := new(repoListMissingBlobsOutput)
	out.Body.Blobs = make([]repoListMissingBlobsRecordBlob, len(list))
	for i, b := range list {
		out.Body.Blobs[i] = repoListMissingBlobsRecordBlob{CID: xrpc.CID(b.CID.String()), RecordUri: recordURI(c.DID, b.Path)}
	}
	if n := len(list); n == int(in.Limit) {
		out.Body.Cursor = list[n-1].CID.String()
	}
	return out, nil
}

// cidCursor reads a cursor that is the last CID of the page before.
func cidCursor(cursor string) (cid.Cid, error) {
	if cursor == "" {
		return cid.Undef, nil
	}
	c, err := cid.Decode(cursor)
	if err != nil {
		return cid.Undef, xrpc.Invalid("Malformed cursor")
	}
	return c, nil
}
