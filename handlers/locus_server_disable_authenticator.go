package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
)

// disableAuthenticator switches the authenticator app off. One that was begun and not confirmed is no factor yet, and is
// not found here.
// spec: lexicon org.auroralocus.server.disableAuthenticator
func (m locusServerMethods) disableAuthenticator(ctx context.Context, c xrpc.AccountCaller, in *locusServerDisableAuthenticatorInput) (*locusServerDisableAuthenticatorOutput, error) {
	if err := m.acts.DisableAuthenticator(ctx, c.Tenant, owner(c), act.Proof{Password: in.Body.Password, Code: in.Body.Code}); err != nil {
		return nil, err
	}
	return new(locusServerDisableAuthenticatorOutput), nil
}
