package act

import (
	"context"
	"strconv"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

const (
	actBlobLimit    = "org.auroralocus.admin.setBlobLimit"
	actRecordLimits = "org.auroralocus.admin.setRecordLimits"
)

// maxLimit is the settings' own bound.
const maxLimit = 1 << 50

// SetBlobLimit limits what the files of an account may take, or, with identifier "", of each account that has no limit
// of its own; bytes nil takes the limit away again. What is there stays; uploads beyond the limit are refused. It tells
// the limit that holds now. Errors: [ErrLimit], [accounts.ErrNotFound].
func (a *Acts) SetBlobLimit(ctx context.Context, t *tenant.Tenant, by Operator, identifier string, bytes *int64) (limit int64, err error) {
	if tooLarge(bytes) {
		return 0, ErrLimit
	}
	detail := map[string]any{"bytes": orDefault(bytes)}
	if identifier == "" {
		changed, err := a.setDefaults(ctx, t, by, actBlobLimit, detail, map[string]string{"blob_account_limit": settingOf(bytes)})
		if err != nil {
			return 0, err
		}
		return changed.Settings.BlobAccountLimit, nil
	}
	who, err := a.named(ctx, t, identifier)
	if err != nil {
		return 0, err
	}
	err = a.change(ctx, t, by, actBlobLimit, deed{who.DID, detail}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, q.UpsertBlobLimit(ctx, tenantdb.UpsertBlobLimitParams{AID: who.AID, MaxBytes: bytes})
	})
	return blob.LimitOf(bytes, t.Settings.BlobAccountLimit), err
}

// SetRecordLimits limits how many records an account may have and what they may take, or, with identifier "", each
// account that has no limits of its own; nil takes a limit away again. What is there stays, and may be deleted and made
// smaller; what adds to it is refused. It tells the limits that hold now. Errors: [ErrLimit], [accounts.ErrNotFound].
func (a *Acts) SetRecordLimits(ctx context.Context, t *tenant.Tenant, by Operator, identifier string, count, bytes *int64) (limits repodb.Sum, err error) {
	if tooLarge(count) || tooLarge(bytes) {
		return limits, ErrLimit
	}
	detail := map[string]any{"count": orDefault(count), "bytes": orDefault(bytes)}
	setting := func(t *tenant.Tenant) repodb.Sum {
		return repodb.Sum{Records: t.Settings.RecordAccountCount, Bytes: t.Settings.RecordAccountBytes}
	}
	if identifier == "" {
		changed, err := a.setDefaults(ctx, t, by, actRecordLimits, detail, map[string]string{
			"record_account_count": settingOf(count), "record_account_bytes": settingOf(bytes),
		})
		if err != nil {
			return limits, err
		}
		return setting(changed), nil
	}
	who, err := a.named(ctx, t, identifier)
	if err != nil {
		return limits, err
	}
	err = a.change(ctx, t, by, actRecordLimits, deed{who.DID, detail}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, q.UpdateRecordLimits(ctx, tenantdb.UpdateRecordLimitsParams{AID: who.AID, MaxRecords: count, MaxRecordBytes: bytes})
	})
	return repodb.LimitsOf(count, bytes, setting(t)), err
}

// setDefaults changes settings and writes it down.
func (a *Acts) setDefaults(ctx context.Context, t *tenant.Tenant, by Operator, action string, detail any, patch map[string]string) (changed *tenant.Tenant, err error) {
	err = a.noted(ctx, t, by, action, deed{"", detail}, func() (err error) {
		changed, err = a.Tenants.Set(ctx, t.Hostname, patch)
		return err
	})
	return changed, err
}

func tooLarge(limit *int64) bool { return limit != nil && *limit > maxLimit }

// settingOf is a limit as a setting has it: empty for the default.
func settingOf(limit *int64) string {
	if limit == nil {
		return ""
	}
	return strconv.FormatInt(*limit, 10)
}

// orDefault is a limit as the audit log has it.
func orDefault(limit *int64) any {
	if limit == nil {
		return "default"
	}
	return *limit
}
