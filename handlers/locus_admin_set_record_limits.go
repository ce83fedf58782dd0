package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// setRecordLimits limits how many records an account may have and what they may take, or each account that has no limits
// of its own. What is there stays; what adds to it beyond the limits is refused.
// spec: lexicon org.auroralocus.admin.setRecordLimits
func (m locusAdminMethods) setRecordLimits(ctx context.Context, c xrpc.OperatorCaller, in *locusAdminSetRecordLimitsInput) (*locusAdminSetRecordLimitsOutput, error) {
	limits, err := m.acts.SetRecordLimits(ctx, c.Tenant, by(c), string(in.Body.Account), in.Body.Count, in.Body.Bytes)
	if err != nil {
		return nil, noAccount(err)
	}
	out := new(locusAdminSetRecordLimitsOutput)
	out.Body.Limits = recordSum(limits)
	return out, nil
}
