package handlers

import (
	"context"
	"strconv"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
)

// setBlobLimit limits what the files of an account may take, or of each account that has no limit of its own. What is
// there stays; uploads beyond the limit are refused.
// spec: lexicon org.auroralocus.admin.setBlobLimit
func (m locusAdminMethods) setBlobLimit(ctx context.Context, c operatorCaller, in *locusAdminSetBlobLimitInput) (*locusAdminSetBlobLimitOutput, error) {
	detail := map[string]any{"bytes": "default"}
	if in.Body.Bytes != nil {
		detail["bytes"] = *in.Body.Bytes
		if *in.Body.Bytes > maxBlobLimit {
			return nil, invalid("bytes must be at most %d", int64(maxBlobLimit))
		}
	}
	out := new(locusAdminSetBlobLimitOutput)
	if in.Body.Account == "" {
		setting := ""
		if in.Body.Bytes != nil {
			setting = strconv.FormatInt(*in.Body.Bytes, 10)
		}
		// Settings are in the control schema, which the tenant's transaction does not reach: the entry is written before
		// them and committed after, so only a commit that is lost leaves a change without one.
		err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
			if err := c.record(ctx, q, "", detail); err != nil {
				return err
			}
			t, err := m.server.tenants.Set(ctx, c.Tenant.Hostname, map[string]string{"blob_account_limit": setting})
			if err == nil {
				out.Body.Limit = t.Settings.BlobAccountLimit
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	a, err := m.account(ctx, c, string(in.Body.Account))
	if err != nil {
		return nil, err
	}
	err = m.act(ctx, c, a.DID, detail, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, q.UpsertBlobLimit(ctx, tenantdb.UpsertBlobLimitParams{AID: a.AID, MaxBytes: in.Body.Bytes})
	})
	if err != nil {
		return nil, err
	}
	out.Body.Limit = blob.LimitOf(in.Body.Bytes, c.Tenant.Settings.BlobAccountLimit)
	return out, nil
}

// maxBlobLimit is the setting's own bound.
const maxBlobLimit = 1 << 50
