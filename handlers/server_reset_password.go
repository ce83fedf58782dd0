package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// resetPassword sets a new password by a mailed token and ends all sessions, those of app passwords too.
// spec: lexicon com.atproto.server.resetPassword
func (m serverMethods) resetPassword(ctx context.Context, v xrpc.Visitor, in *serverResetPasswordInput) (*serverResetPasswordOutput, error) {
	if err := m.acts.ResetPassword(ctx, v.Tenant, stranger(v), in.Body.Token, in.Body.Password); err != nil {
		return nil, err
	}
	return &serverResetPasswordOutput{}, nil
}
