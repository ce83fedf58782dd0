package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

// disableAuthenticator switches the authenticator app off. One that was begun and not confirmed is no factor yet, and is
// not found here.
// spec: lexicon org.auroralocus.server.disableAuthenticator
func (m locusServerMethods) disableAuthenticator(ctx context.Context, c accountCaller, in *locusServerDisableAuthenticatorInput) (*locusServerDisableAuthenticatorOutput, error) {
	err := m.protect(ctx, c, &proof{in.Body.Password, in.Body.Code}, func(ctx context.Context, p protection) error {
		if err := p.hasAuthenticator(ctx); err != nil {
			return err
		}
		if err := accounts.DeleteAuthenticator(ctx, p.q, c.AID); err != nil {
			return err
		}
		return p.tell(ctx, mail.KindAppFactorOff)
	})
	if err != nil {
		return nil, err
	}
	return new(locusServerDisableAuthenticatorOutput), nil
}

// hasAuthenticator refuses accounts whose authenticator is not on.
func (p protection) hasAuthenticator(ctx context.Context) error {
	factors, err := secondFactors(ctx, p.q, p.account.AID)
	if err == nil && !factors.App {
		err = accounts.ErrNoAuthenticator
	}
	return err
}
