package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
)

// updateEmail gives the account another address, by a token if the present one is confirmed, and only after a code if an
// authenticator app is on. The new one is not confirmed. With the present address and emailAuthFactor it only switches
// mailed sign-in codes on or off; on needs no token.
// spec: lexicon com.atproto.server.updateEmail
func (m serverMethods) updateEmail(ctx context.Context, c xrpc.AccountCaller, in *serverUpdateEmailInput) (*serverUpdateEmailOutput, error) {
	to := act.EmailChange{Address: in.Body.Email, Token: in.Body.Token, Factor: in.Body.EmailAuthFactor}
	if err := m.acts.ChangeOwnEmail(ctx, c.Tenant, owner(c), to); err != nil {
		return nil, err
	}
	return &serverUpdateEmailOutput{}, nil
}
