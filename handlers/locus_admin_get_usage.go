package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// getUsage tells what the tenant holds. Files are exact by their counters; records are counted, which reads an index.
// spec: lexicon org.auroralocus.admin.getUsage
func (m locusAdminMethods) getUsage(ctx context.Context, c xrpc.OperatorCaller, _ *locusAdminGetUsageInput) (*locusAdminGetUsageOutput, error) {
	u, err := m.db.Tenant(c.Tenant.Schema).Q().GetTenantUsage(ctx, m.now())
	if err != nil {
		return nil, err
	}
	set, quota := &c.Tenant.Settings, recordQuota(c.Tenant)
	return &locusAdminGetUsageOutput{Body: locusAdminGetUsageOutputBody{
		Accounts: locusAdminDefsAccountCounts{
			Total: u.Accounts, Active: u.Accounts - u.Deactivated - u.Takendown, Deactivated: u.Deactivated, Takendown: u.Takendown,
		},
		Records:             u.Records,
		Files:               locusServerDefsFileSum{Count: u.Blobs, Bytes: u.Bytes},
		Temporary:           locusServerDefsFileSum{Count: u.TemporaryBlobs, Bytes: u.TemporaryBytes},
		Trash:               u.Trash,
		DatabaseBytes:       u.DatabaseBytes,
		RecordBytes:         u.RecordBytes,
		RecordAccountLimits: recordSum(quota.Account), RecordServerLimits: recordSum(quota.Tenant),
		AccountLimit: set.BlobAccountLimit, ServerLimit: set.BlobTenantLimit, UploadLimit: set.BlobUploadLimit,
	}}, nil
}
