package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// disableAccountInvites keeps an account from getting new invite codes. Those it has stay good.
// spec: lexicon com.atproto.admin.disableAccountInvites
func (m adminMethods) disableAccountInvites(ctx context.Context, c xrpc.OperatorCaller, in *adminDisableAccountInvitesInput) (*adminDisableAccountInvitesOutput, error) {
	if err := m.acts.SetInvites(ctx, c.Tenant, by(c), string(in.Body.Account), true, in.Body.Note); err != nil {
		return nil, noAccount(err)
	}
	return new(adminDisableAccountInvitesOutput), nil
}
