package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// requestAccountDelete mails the token that deleteAccount wants beside the password.
// spec: lexicon com.atproto.server.requestAccountDelete
func (m serverMethods) requestAccountDelete(ctx context.Context, c accountCaller, _ *serverRequestAccountDeleteInput) (*serverRequestAccountDeleteOutput, error) {
	if err := m.mail.toCaller(ctx, c, accounts.TokenDeleteAccount); err != nil {
		return nil, err
	}
	return &serverRequestAccountDeleteOutput{}, nil
}
