package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// getSecondFactor tells which second factors the account asks for at sign-in.
// spec: lexicon org.auroralocus.server.getSecondFactor
func (m locusServerMethods) getSecondFactor(ctx context.Context, c xrpc.AccountCaller, _ *locusServerGetSecondFactorInput) (*locusServerGetSecondFactorOutput, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	a, err := account.ByDID(ctx, q, c.DID)
	var factors account.Factors
	if err == nil {
		factors, err = account.SecondFactors(ctx, q, a.AID)
	}
	if errors.Is(err, account.ErrNotFound) {
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
