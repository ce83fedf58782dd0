package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// updateAccountEmail gives an account another address, which is not confirmed. Domains that the tenant refuses are the
// operator's to allow.
// spec: lexicon com.atproto.admin.updateAccountEmail
func (m adminMethods) updateAccountEmail(ctx context.Context, c operatorCaller, in *adminUpdateAccountEmailInput) (*adminUpdateAccountEmailOutput, error) {
	rules := c.Tenant.Settings
	rules.EmailBlockDisposable, rules.EmailBlockedDomains = false, nil
	email, err := accounts.CheckEmail(&rules, in.Body.Email)
	if err != nil {
		return nil, err
	}
	a, err := m.account(ctx, c, string(in.Body.Account))
	if err != nil {
		return nil, err
	}
	err = m.act(ctx, c, a.DID, map[string]any{"from": a.Email, "to": email}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, accounts.SetEmail(ctx, q, a.AID, email)
	})
	if err != nil {
		return nil, err
	}
	return new(adminUpdateAccountEmailOutput), nil
}
