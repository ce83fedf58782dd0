package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// getSecondFactor tells which second factors the account asks for at sign-in.
// spec: lexicon org.auroralocus.server.getSecondFactor
func (m locusServerMethods) getSecondFactor(ctx context.Context, c accountCaller, _ *locusServerGetSecondFactorInput) (*locusServerGetSecondFactorOutput, error) {
	q := m.server.db.Tenant(c.Tenant.Schema).Q()
	a, err := ownAccount(ctx, q, c)
	if err != nil {
		return nil, err
	}
	factors, err := secondFactors(ctx, q, a.AID)
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

// secondFactors are those of the caller's account, which may have been deleted a moment ago.
func secondFactors(ctx context.Context, q *tenantdb.Queries, aid int64) (accounts.Factors, error) {
	f, err := accounts.SecondFactors(ctx, q, aid)
	if errors.Is(err, accounts.ErrNotFound) {
		return f, auth.ErrAccountNotFound
	}
	return f, err
}
