package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/blob"
)

// getUsage tells what the account's files take, and what they may.
// spec: lexicon org.auroralocus.server.getUsage
func (m locusServerMethods) getUsage(ctx context.Context, c accountCaller, _ *locusServerGetUsageInput) (*locusServerGetUsageOutput, error) {
	u, err := m.server.db.Tenant(c.Tenant.Schema).Q().GetAccountUsage(ctx, c.AID)
	if err != nil {
		return nil, err
	}
	set := &c.Tenant.Settings
	return &locusServerGetUsageOutput{Body: locusServerGetUsageOutputBody{
		Files:       locusServerDefsFileSum{Count: u.Blobs, Bytes: u.Bytes},
		Temporary:   locusServerDefsFileSum{Count: u.TemporaryBlobs, Bytes: u.TemporaryBytes},
		Permanent:   locusServerDefsFileSum{Count: u.Blobs - u.TemporaryBlobs, Bytes: u.Bytes - u.TemporaryBytes},
		Limit:       blob.LimitOf(u.MaxBytes, set.BlobAccountLimit),
		UploadLimit: set.BlobUploadLimit,
	}}, nil
}
