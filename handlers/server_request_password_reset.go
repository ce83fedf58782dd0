package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// requestPasswordReset mails the token that resetPassword wants. The answer is the same whether an account has the
// address or not, and whether it was written to often enough.
// spec: lexicon com.atproto.server.requestPasswordReset
func (m serverMethods) requestPasswordReset(ctx context.Context, v xrpc.Visitor, in *serverRequestPasswordResetInput) (*serverRequestPasswordResetOutput, error) {
	if err := m.acts.RequestPasswordReset(ctx, v.Tenant, stranger(v), in.Body.Email); err != nil {
		return nil, err
	}
	return &serverRequestPasswordResetOutput{}, nil
}
