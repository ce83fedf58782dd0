package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// requestEmailConfirmation mails the token that confirmEmail wants.
// spec: lexicon com.atproto.server.requestEmailConfirmation
func (m serverMethods) requestEmailConfirmation(ctx context.Context, c accountCaller, _ *serverRequestEmailConfirmationInput) (*serverRequestEmailConfirmationOutput, error) {
	if err := m.mail.toCaller(ctx, c, accounts.TokenConfirmEmail); err != nil {
		return nil, err
	}
	return &serverRequestEmailConfirmationOutput{}, nil
}
