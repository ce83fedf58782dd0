package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// updateAccountHandle gives an account another handle, a reserved one too: in the DID document first, then here.
// spec: lexicon com.atproto.admin.updateAccountHandle
func (m adminMethods) updateAccountHandle(ctx context.Context, c xrpc.OperatorCaller, in *adminUpdateAccountHandleInput) (*adminUpdateAccountHandleOutput, error) {
	if err := m.acts.ChangeHandle(ctx, c.Tenant, by(c), string(in.Body.DID), string(in.Body.Handle)); err != nil {
		return nil, noAccount(err)
	}
	return new(adminUpdateAccountHandleOutput), nil
}
