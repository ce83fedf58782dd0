package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// updateAccountEmail gives an account another address, which is not confirmed. The operator may use a domain that the
// tenant refuses.
// spec: lexicon com.atproto.admin.updateAccountEmail
func (m adminMethods) updateAccountEmail(ctx context.Context, c xrpc.OperatorCaller, in *adminUpdateAccountEmailInput) (*adminUpdateAccountEmailOutput, error) {
	if err := m.acts.SetEmail(ctx, c.Tenant, by(c), string(in.Body.Account), in.Body.Email); err != nil {
		return nil, noAccount(err)
	}
	return new(adminUpdateAccountEmailOutput), nil
}
