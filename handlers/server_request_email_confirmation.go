package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// requestEmailConfirmation mails the token that confirmEmail wants.
// spec: lexicon com.atproto.server.requestEmailConfirmation
func (m serverMethods) requestEmailConfirmation(ctx context.Context, c xrpc.AccountCaller, _ *serverRequestEmailConfirmationInput) (*serverRequestEmailConfirmationOutput, error) {
	if err := m.acts.RequestEmailConfirmation(ctx, c.Tenant, owner(c)); err != nil {
		return nil, err
	}
	return &serverRequestEmailConfirmationOutput{}, nil
}
