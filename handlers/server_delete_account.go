package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// deleteAccount deletes an account for good, by its main password and a mailed token. Accounts that are taken down may
// be deleted too.
// spec: lexicon com.atproto.server.deleteAccount
func (m serverMethods) deleteAccount(ctx context.Context, v visitor, in *serverDeleteAccountInput) (*serverDeleteAccountOutput, error) {
	wrong := refuse(http.StatusUnauthorized, "", "Invalid did or password")
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	attempt, err := m.guard.enter(ctx, v, string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	a, err := m.passwords.Authenticate(ctx, v.path(), m.db.Tenant(v.Tenant.Schema).Q(), string(in.Body.DID), in.Body.Password)
	err = attempt.leave(ctx, err)
	if errors.Is(err, accounts.ErrCredentials) {
		return nil, wrong
	}
	if err != nil {
		return nil, err
	}
	err = m.acts.Publish(ctx, v.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := m.mail.use(ctx, q, secrets, a.AID, accounts.TokenDeleteAccount, in.Body.Token); err != nil {
			return nil, err
		}
		return accounts.Delete(ctx, q, m.now(), a.AID)
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, wrong // another request was first
	}
	if err != nil {
		return nil, err
	}
	m.acts.Forget(ctx, v.Tenant, a.AID, a.DID)
	return &serverDeleteAccountOutput{}, nil
}
