package handlers

import "context"

// updateAccountSigningKey gives an account another signing key: one that reserveSigningKey made.
// spec: lexicon com.atproto.admin.updateAccountSigningKey
func (m adminMethods) updateAccountSigningKey(ctx context.Context, c operatorCaller, in *adminUpdateAccountSigningKeyInput) (*adminUpdateAccountSigningKeyOutput, error) {
	if err := m.acts.ChangeSigningKey(ctx, c.Tenant, by(c), string(in.Body.DID), string(in.Body.SigningKey)); err != nil {
		return nil, noAccount(err)
	}
	return new(adminUpdateAccountSigningKeyOutput), nil
}
