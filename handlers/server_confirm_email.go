package handlers

import (
	"context"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

// confirmEmail notes that the account's address is its owner's, by the token mailed there.
// spec: lexicon com.atproto.server.confirmEmail
func (m serverMethods) confirmEmail(ctx context.Context, c accountCaller, in *serverConfirmEmailInput) (*serverConfirmEmailOutput, error) {
	secrets, err := m.sessions.Secrets(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	err = m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		a, err := lockOwnAccount(ctx, q, c)
		if err != nil {
			return act.Gone(err)
		}
		if a.Email == "" || a.Email != strings.ToLower(strings.TrimSpace(in.Body.Email)) {
			return accounts.ErrEmailOther
		}
		if err := m.mail.use(ctx, q, secrets, c.AID, accounts.TokenConfirmEmail, in.Body.Token); err != nil {
			return err
		}
		return accounts.ConfirmEmail(ctx, q, m.now(), c.AID, a.Email)
	})
	if err != nil {
		return nil, err
	}
	return &serverConfirmEmailOutput{}, nil
}
