package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

// setEmailFactor switches mailed codes at sign-in on or off.
// spec: lexicon org.auroralocus.server.setEmailFactor
func (m locusServerMethods) setEmailFactor(ctx context.Context, c xrpc.AccountCaller, in *locusServerSetEmailFactorInput) (*locusServerSetEmailFactorOutput, error) {
	proof := act.Proof{Password: in.Body.Password, Code: in.Body.Code}
	err := m.acts.SetEmailFactor(ctx, c.Tenant, owner(c), proof, in.Body.Enabled)
	if errors.Is(err, account.ErrEmailUnconfirmed) {
		return nil, xrpc.Refuse(http.StatusBadRequest, "EmailNotConfirmed", "The email address is not confirmed")
	}
	if err != nil {
		return nil, err
	}
	return new(locusServerSetEmailFactorOutput), nil
}
