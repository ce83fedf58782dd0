package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// refreshSession rotates: the token given is good for two more hours, in which it always gives the same next one.
// spec: lexicon com.atproto.server.refreshSession
func (m serverMethods) refreshSession(ctx context.Context, c xrpc.RefreshCaller, _ *serverRefreshSessionInput) (*serverRefreshSessionOutput, error) {
	s, err := m.acts.Refresh(ctx, c.Tenant, c.Refresh)
	if err != nil {
		return nil, err
	}
	info := m.sessionInfo(ctx, c.Tenant, s.Account)
	return &serverRefreshSessionOutput{Body: serverRefreshSessionOutputBody{
		AccessJwt: s.Access, RefreshJwt: s.Refresh,
		DID: xrpc.DID(s.Account.DID), Handle: info.Handle, DIDDoc: info.DIDDoc,
		Email: s.Account.Email, EmailConfirmed: &s.Account.EmailConfirmed, EmailAuthFactor: &s.Account.EmailFactor,
		Active: &info.Active, Status: info.Status,
	}}, nil
}
