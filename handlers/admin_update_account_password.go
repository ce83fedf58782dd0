package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// updateAccountPassword sets an account's main password and ends its sessions.
// spec: lexicon com.atproto.admin.updateAccountPassword
func (m adminMethods) updateAccountPassword(ctx context.Context, c operatorCaller, in *adminUpdateAccountPasswordInput) (*adminUpdateAccountPasswordOutput, error) {
	if err := accounts.CheckNewPassword(in.Body.Password); err != nil {
		return nil, err
	}
	a, err := m.account(ctx, c, string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	hash, err := m.passwords.Hash(ctx, in.Body.Password)
	if err != nil {
		return nil, err
	}
	err = m.act(ctx, c, a.DID, nil, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		_, err := accounts.SetPassword(ctx, q, a.AID, hash)
		return nil, noAccount(err)
	})
	if err != nil {
		return nil, err
	}
	m.actors.Forget(c.Tenant.Schema, a.DID)
	return new(adminUpdateAccountPasswordOutput), nil
}
