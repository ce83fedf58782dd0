package handlers

import (
	"context"
	"errors"
	"net/http"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

// setEmailFactor switches mailed codes at sign-in on or off.
// spec: lexicon org.auroralocus.server.setEmailFactor
func (m locusServerMethods) setEmailFactor(ctx context.Context, c accountCaller, in *locusServerSetEmailFactorInput) (*locusServerSetEmailFactorOutput, error) {
	on := in.Body.Enabled
	err := m.protect(ctx, c, &proof{in.Body.Password, in.Body.Code}, func(ctx context.Context, p protection) error {
		if p.account.EmailFactor == on && (p.account.EmailConfirmed || !on) {
			return nil // as it was: nobody is told
		}
		if err := accounts.SetEmailFactor(ctx, p.q, p.account, on); err != nil {
			return err
		}
		if on {
			return p.tell(ctx, mail.KindEmailFactorOn)
		}
		return p.tell(ctx, mail.KindEmailFactorOff)
	})
	if errors.Is(err, accounts.ErrEmailUnconfirmed) {
		return nil, refuse(http.StatusBadRequest, "EmailNotConfirmed", "The email address is not confirmed")
	}
	if err != nil {
		return nil, err
	}
	return new(locusServerSetEmailFactorOutput), nil
}
