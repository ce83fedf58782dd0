package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// setBlobLimit limits what the files of an account may take, or of each account that has no limit of its own. What is
// there stays; uploads beyond the limit are refused.
// spec: lexicon org.auroralocus.admin.setBlobLimit
func (m locusAdminMethods) setBlobLimit(ctx context.Context, c xrpc.OperatorCaller, in *locusAdminSetBlobLimitInput) (*locusAdminSetBlobLimitOutput, error) {
	limit, err := m.acts.SetBlobLimit(ctx, c.Tenant, by(c), string(in.Body.Account), in.Body.Bytes)
	if err != nil {
		return nil, noAccount(err)
	}
	out := new(locusAdminSetBlobLimitOutput)
	out.Body.Limit = limit
	return out, nil
}
