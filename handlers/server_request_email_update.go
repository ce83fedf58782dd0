package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
)

// requestEmailUpdate says whether updateEmail wants a token, and mails it to the present address if so: an address that
// was never confirmed protects nothing.
// spec: lexicon com.atproto.server.requestEmailUpdate
func (m serverMethods) requestEmailUpdate(ctx context.Context, c accountCaller, _ *serverRequestEmailUpdateInput) (*serverRequestEmailUpdateOutput, error) {
	a, err := ownAccount(ctx, m.db.Tenant(c.Tenant.Schema).Q(), c)
	if err != nil {
		return nil, err
	}
	out := new(serverRequestEmailUpdateOutput)
	if out.Body.TokenRequired = a.EmailConfirmed; a.EmailConfirmed {
		if err := m.mail.toCaller(ctx, c, accounts.TokenUpdateEmail); err != nil {
			return nil, err
		}
	}
	return out, nil
}
