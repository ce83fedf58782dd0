package handlers

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// resetAnswerTime is how long an answer takes at least: more than storing a token, so that the time does not tell
// whether an account has the address.
const resetAnswerTime = 300 * time.Millisecond

// requestPasswordReset mails the token that resetPassword wants. The answer is the same whether an account has the
// address or not, and whether it was written to often enough.
// spec: lexicon com.atproto.server.requestPasswordReset
func (m serverMethods) requestPasswordReset(ctx context.Context, v visitor, in *serverRequestPasswordResetInput) (*serverRequestPasswordResetOutput, error) {
	floor := time.NewTimer(resetAnswerTime)
	defer floor.Stop()
	email := strings.ToLower(strings.TrimSpace(in.Body.Email))
	find := func(q *tenantdb.Queries) (*accounts.Account, error) {
		if !strings.Contains(email, "@") { // ByIdentifier would take a handle
			return nil, accounts.ErrNotFound
		}
		return accounts.ByIdentifier(ctx, q, email)
	}
	q := m.db.Tenant(v.Tenant.Schema).Q()
	a, err := find(q)
	switch {
	case err != nil:
	case m.guard.mayMail(v, a.DID, resetMails...):
		_, err = m.mail.send(ctx, v, accounts.TokenResetPassword, find)
	default:
		err = accounts.ReviveToken(ctx, q, m.now(), a.AID, accounts.TokenResetPassword)
	}
	if errors.Is(err, accounts.ErrEmailOther) {
		err = accounts.ErrNotFound // changed hands twice in this moment: nobody has it
	}
	if err != nil && !errors.Is(err, accounts.ErrNotFound) {
		return nil, err
	}
	select {
	case <-floor.C:
	case <-ctx.Done():
	}
	return &serverRequestPasswordResetOutput{}, nil
}
