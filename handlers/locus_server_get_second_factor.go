package handlers

import (
	"context"
	"errors"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// getSecondFactor tells which second factors the account asks for at sign-in.
// spec: lexicon org.auroralocus.server.getSecondFactor
func (m locusServerMethods) getSecondFactor(ctx context.Context, c accountCaller, _ *locusServerGetSecondFactorInput) (*locusServerGetSecondFactorOutput, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	a, err := accounts.ByDID(ctx, q, c.DID)
	var factors accounts.Factors
	if err == nil {
		factors, err = accounts.SecondFactors(ctx, q, a.AID)
	}
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, auth.ErrAccountNotFound // deleted a moment ago
	}
	if err != nil {
		return nil, err
	}
	left, err := q.CountBackupCodes(ctx, a.AID)
	if err != nil {
		return nil, err
	}
	return &locusServerGetSecondFactorOutput{Body: locusServerGetSecondFactorOutputBody{
		Email: factors.Email, EmailConfirmed: a.EmailConfirmed, Authenticator: factors.App, Enrolling: factors.Enrolling(m.now()), BackupCodes: int64(left),
	}}, nil
}
