package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
)

// confirmSession has a second factor shown again, and gives an access token that says so.
// spec: lexicon org.auroralocus.server.confirmSession
func (m locusServerMethods) confirmSession(ctx context.Context, c xrpc.AccountCaller, in *locusServerConfirmSessionInput) (*locusServerConfirmSessionOutput, error) {
	access, until, err := m.acts.ConfirmSession(ctx, c.Tenant, owner(c), act.Proof{Password: in.Body.Password, Code: in.Body.Code})
	if err != nil {
		return nil, err
	}
	return &locusServerConfirmSessionOutput{Body: locusServerConfirmSessionOutputBody{AccessJwt: access, ExpiresAt: datetime(until)}}, nil
}
