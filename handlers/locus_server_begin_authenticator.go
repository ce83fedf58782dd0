package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// beginAuthenticator draws the secret of an authenticator app. It counts once a code of it was seen.
// spec: lexicon org.auroralocus.server.beginAuthenticator
func (m locusServerMethods) beginAuthenticator(ctx context.Context, c accountCaller, in *locusServerBeginAuthenticatorInput) (*locusServerBeginAuthenticatorOutput, error) {
	factors, err := secondFactors(ctx, m.server.db.Tenant(c.Tenant.Schema).Q(), c.AID)
	if err == nil && factors.App {
		err = accounts.ErrAuthenticatorOn
	}
	if err != nil {
		return nil, err
	}
	var made accounts.Authenticator
	err = m.protect(ctx, c, &proof{in.Body.Password, in.Body.Code}, func(ctx context.Context, p protection) error {
		name := p.account.Handle
		if name == "" {
			name = p.account.DID
		}
		made = accounts.NewAuthenticator(c.Tenant.Hostname, name)
		return accounts.InsertAuthenticator(ctx, p.q, m.server.keys, c.Tenant.Schema, m.now(), c.AID, made)
	})
	if err != nil {
		return nil, err
	}
	return &locusServerBeginAuthenticatorOutput{Body: locusServerBeginAuthenticatorOutputBody{Secret: made.Secret, URI: URI(made.URI)}}, nil
}
