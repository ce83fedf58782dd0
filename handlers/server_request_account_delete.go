package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// requestAccountDelete mails the token that deleteAccount wants beside the password.
// spec: lexicon com.atproto.server.requestAccountDelete
func (m serverMethods) requestAccountDelete(ctx context.Context, c xrpc.AccountCaller, _ *serverRequestAccountDeleteInput) (*serverRequestAccountDeleteOutput, error) {
	if err := m.acts.RequestDeletion(ctx, c.Tenant, owner(c)); err != nil {
		return nil, err
	}
	return &serverRequestAccountDeleteOutput{}, nil
}
