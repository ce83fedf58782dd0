package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// deleteAccount deletes an account for good. One whose sign-up waits for approval is thereby rejected.
// spec: lexicon com.atproto.admin.deleteAccount
func (m adminMethods) deleteAccount(ctx context.Context, c operatorCaller, in *adminDeleteAccountInput) (*adminDeleteAccountOutput, error) {
	a, err := m.account(ctx, c, string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	err = accounts.NotAwaiting(ctx, m.db.Tenant(c.Tenant.Schema).Q(), a.AID)
	if errors.Is(err, accounts.ErrAwaiting) {
		err = m.reject(ctx, c, a)
		return new(adminDeleteAccountOutput), noAccount(err)
	}
	if err != nil {
		return nil, err
	}
	err = m.act(ctx, c, a.DID, map[string]any{"handle": a.Handle}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return accounts.Delete(ctx, q, m.now(), a.AID)
	})
	if err != nil {
		return nil, noAccount(err)
	}
	m.server.forget(ctx, c.Tenant, a.AID, a.DID)
	return new(adminDeleteAccountOutput), nil
}
