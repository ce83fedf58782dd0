package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// disableInviteCodes makes codes unusable: those named, and all of the accounts named.
// spec: lexicon com.atproto.admin.disableInviteCodes
func (m adminMethods) disableInviteCodes(ctx context.Context, c xrpc.OperatorCaller, in *adminDisableInviteCodesInput) (*adminDisableInviteCodesOutput, error) {
	if err := m.acts.DisableInvites(ctx, c.Tenant, by(c), in.Body.Codes, in.Body.Accounts); err != nil {
		return nil, err
	}
	return new(adminDisableInviteCodesOutput), nil
}
