package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// activateAccount shows the account again, or for the first time when it moved here: its DID document must lead here by
// then. Our rotation key need not be among the DID's.
// spec: lexicon com.atproto.server.activateAccount
func (m serverMethods) activateAccount(ctx context.Context, c xrpc.AccountCaller, _ *serverActivateAccountInput) (*serverActivateAccountOutput, error) {
	if err := m.acts.Activate(ctx, c.Tenant, owner(c)); err != nil {
		return nil, err
	}
	return &serverActivateAccountOutput{}, nil
}
