package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/blob"
)

// uploadBlob takes a file in, from the socket into the store, to be named by a record within some hours. Its type is
// what the Content-Type says, unless its first bytes contradict that. Deactivated accounts may upload: they are moving here.
// spec: lexicon com.atproto.repo.uploadBlob
func (m repoMethods) uploadBlob(ctx context.Context, c xrpc.AccountCaller, in *repoUploadBlobInput) (*repoUploadBlobOutput, error) {
	if err := m.usage.MayAdd(c.Tenant); err != nil {
		return nil, err
	}
	s := &c.Tenant.Settings
	info, err := m.blobs.Upload(ctx, blob.Upload{
		Owner:       blob.Owner{Schema: c.Tenant.Schema, AID: c.AID, DID: c.DID},
		Location:    s.BlobStore,
		ContentType: in.ContentType(),
		Limits:      blob.Limits{Account: s.BlobAccountLimit, Tenant: m.blobQuota(c.Tenant)},

		ClearLocation: s.BlobClearLocation,
		OnlyAwaited:   c.Spared(),
	}, in.Stream())
	if err := c.Settle(info.Awaited, errors.Is(err, blob.ErrNotAwaited), err); err != nil {
		return nil, err
	}
	out := new(repoUploadBlobOutput)
	out.Body.Blob = xrpc.Blob{Type: "blob", Ref: xrpc.CidLink{Link: xrpc.CID(info.CID.String())}, MimeType: info.MimeType, Size: info.Size}
	return out, nil
}

// movesHere says whether the account's records name files that are not here yet: those are taken beyond the limit.
func (m repoMethods) movesHere(ctx context.Context, c xrpc.AccountCaller) (bool, error) {
	return m.blobs.Awaits(ctx, blob.Owner{Schema: c.Tenant.Schema, AID: c.AID, DID: c.DID})
}

func uploadLimit(v xrpc.Visitor) int64 { return v.Tenant.Settings.BlobUploadLimit }
