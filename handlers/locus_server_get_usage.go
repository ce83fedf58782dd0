package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/repo/repodb"
)

// getUsage tells what the account's files and records take, and what they may.
// spec: lexicon org.auroralocus.server.getUsage
func (m locusServerMethods) getUsage(ctx context.Context, c xrpc.AccountCaller, _ *locusServerGetUsageInput) (*locusServerGetUsageOutput, error) {
	u, err := m.db.Tenant(c.Tenant.Schema).Q().GetAccountUsage(ctx, c.AID)
	if err != nil {
		return nil, err
	}
	set := &c.Tenant.Settings
	return &locusServerGetUsageOutput{Body: locusServerGetUsageOutputBody{
		Files:        locusServerDefsFileSum{Count: u.Blobs, Bytes: u.Bytes},
		Temporary:    locusServerDefsFileSum{Count: u.TemporaryBlobs, Bytes: u.TemporaryBytes},
		Permanent:    locusServerDefsFileSum{Count: u.Blobs - u.TemporaryBlobs, Bytes: u.Bytes - u.TemporaryBytes},
		Limit:        blob.LimitOf(u.MaxBytes, set.BlobAccountLimit),
		UploadLimit:  set.BlobUploadLimit,
		Records:      recordSum(repodb.Sum{Records: u.Records, Bytes: u.RecordBytes}),
		RecordLimits: recordSum(repodb.LimitsOf(u.MaxRecords, u.MaxRecordBytes, recordQuota(c.Tenant).Account)),
	}}, nil
}

func recordSum(s repodb.Sum) locusServerDefsRecordSum {
	return locusServerDefsRecordSum{Count: s.Records, Bytes: s.Bytes}
}
