package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// enableAccountInvites lets an account get invite codes again.
// spec: lexicon com.atproto.admin.enableAccountInvites
func (m adminMethods) enableAccountInvites(ctx context.Context, c xrpc.OperatorCaller, in *adminEnableAccountInvitesInput) (*adminEnableAccountInvitesOutput, error) {
	if err := m.acts.SetInvites(ctx, c.Tenant, by(c), string(in.Body.Account), false, in.Body.Note); err != nil {
		return nil, noAccount(err)
	}
	return new(adminEnableAccountInvitesOutput), nil
}
