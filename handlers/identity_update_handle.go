package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// updateHandle changes the caller's handle: in the DID document first, then here. An identity event follows in any
// case, also when nothing changed: people call this to have the network look again.
// spec: lexicon com.atproto.identity.updateHandle
func (m identityMethods) updateHandle(ctx context.Context, c xrpc.AccountCaller, in *identityUpdateHandleInput) (*identityUpdateHandleOutput, error) {
	if err := m.acts.ChangeOwnHandle(ctx, c.Tenant, owner(c), string(in.Body.Handle)); err != nil {
		return nil, err
	}
	return &identityUpdateHandleOutput{}, nil
}
