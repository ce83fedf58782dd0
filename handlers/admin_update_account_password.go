package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// updateAccountPassword sets an account's main password and ends its sessions.
// spec: lexicon com.atproto.admin.updateAccountPassword
func (m adminMethods) updateAccountPassword(ctx context.Context, c xrpc.OperatorCaller, in *adminUpdateAccountPasswordInput) (*adminUpdateAccountPasswordOutput, error) {
	if err := m.acts.SetPassword(ctx, c.Tenant, by(c), string(in.Body.DID), in.Body.Password); err != nil {
		return nil, noAccount(err)
	}
	return new(adminUpdateAccountPasswordOutput), nil
}
