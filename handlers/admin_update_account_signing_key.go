package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// updateAccountSigningKey gives an account another signing key: one that reserveSigningKey made.
// spec: lexicon com.atproto.admin.updateAccountSigningKey
func (m adminMethods) updateAccountSigningKey(ctx context.Context, c xrpc.OperatorCaller, in *adminUpdateAccountSigningKeyInput) (*adminUpdateAccountSigningKeyOutput, error) {
	if err := m.acts.ChangeSigningKey(ctx, c.Tenant, by(c), string(in.Body.DID), string(in.Body.SigningKey)); err != nil {
		return nil, noAccount(err)
	}
	return new(adminUpdateAccountSigningKeyOutput), nil
}
