package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
)

// beginAuthenticator draws the secret of an authenticator app. It counts once a code of it was seen.
// spec: lexicon org.auroralocus.server.beginAuthenticator
func (m locusServerMethods) beginAuthenticator(ctx context.Context, c xrpc.AccountCaller, in *locusServerBeginAuthenticatorInput) (*locusServerBeginAuthenticatorOutput, error) {
	made, err := m.acts.BeginAuthenticator(ctx, c.Tenant, owner(c), act.Proof{Password: in.Body.Password, Code: in.Body.Code})
	if err != nil {
		return nil, err
	}
	return &locusServerBeginAuthenticatorOutput{Body: locusServerBeginAuthenticatorOutputBody{Secret: made.Secret, URI: xrpc.URI(made.URI)}}, nil
}
