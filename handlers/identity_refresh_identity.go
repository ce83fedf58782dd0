package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// refreshIdentity is resolveIdentity past the cache.
// spec: lexicon com.atproto.identity.refreshIdentity
func (m identityMethods) refreshIdentity(ctx context.Context, v xrpc.Visitor, in *identityRefreshIdentityInput) (*identityRefreshIdentityOutput, error) {
	info, err := m.identityOf(ctx, v, string(in.Body.Identifier), m.documents.Refresh)
	if err != nil {
		return nil, err
	}
	return &identityRefreshIdentityOutput{Body: info}, nil
}
