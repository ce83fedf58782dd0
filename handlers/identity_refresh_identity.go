package handlers

import "context"

// refreshIdentity is resolveIdentity past the cache.
// spec: lexicon com.atproto.identity.refreshIdentity
func (m identityMethods) refreshIdentity(ctx context.Context, v visitor, in *identityRefreshIdentityInput) (*identityRefreshIdentityOutput, error) {
	info, err := m.identityOf(ctx, v, string(in.Body.Identifier), m.documents.Refresh)
	if err != nil {
		return nil, err
	}
	return &identityRefreshIdentityOutput{Body: info}, nil
}
