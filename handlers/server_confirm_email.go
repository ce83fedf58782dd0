package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// confirmEmail notes that the account's address is its owner's, by the token mailed there.
// spec: lexicon com.atproto.server.confirmEmail
func (m serverMethods) confirmEmail(ctx context.Context, c xrpc.AccountCaller, in *serverConfirmEmailInput) (*serverConfirmEmailOutput, error) {
	if err := m.acts.ConfirmEmail(ctx, c.Tenant, owner(c), in.Body.Email, in.Body.Token); err != nil {
		return nil, err
	}
	return &serverConfirmEmailOutput{}, nil
}
