package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// revokeAppPassword deletes an app password and ends its sessions. One that is not there is no error.
// spec: lexicon com.atproto.server.revokeAppPassword
func (m serverMethods) revokeAppPassword(ctx context.Context, c xrpc.AccountCaller, in *serverRevokeAppPasswordInput) (*serverRevokeAppPasswordOutput, error) {
	if err := m.acts.RevokeAppPassword(ctx, c.Tenant, owner(c), in.Body.Name); err != nil {
		return nil, err
	}
	return &serverRevokeAppPasswordOutput{}, nil
}
