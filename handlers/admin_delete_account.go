package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// deleteAccount deletes an account for good. One whose sign-up waits for approval is thereby rejected.
// spec: lexicon com.atproto.admin.deleteAccount
func (m adminMethods) deleteAccount(ctx context.Context, c xrpc.OperatorCaller, in *adminDeleteAccountInput) (*adminDeleteAccountOutput, error) {
	if err := m.acts.DeleteAccount(ctx, c.Tenant, by(c), string(in.Body.DID)); err != nil {
		return nil, noAccount(err)
	}
	return new(adminDeleteAccountOutput), nil
}
