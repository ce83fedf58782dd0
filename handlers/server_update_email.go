package handlers

import (
	"context"
	"net/http"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// updateEmail gives the account another address, by a token if the present one is confirmed, and only after a code if an
// authenticator app is on. The new one is not. With
// the present address and emailAuthFactor it only switches mailed sign-in codes on or off; on needs no token ([onlyFactor]).
// spec: lexicon com.atproto.server.updateEmail
func (m serverMethods) updateEmail(ctx context.Context, c accountCaller, in *serverUpdateEmailInput) (*serverUpdateEmailOutput, error) {
	email, err := accounts.CheckEmail(&c.Tenant.Settings, in.Body.Email)
	if err != nil {
		return nil, err
	}
	secrets, err := m.sessions.Secrets(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	err = m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		a, err := lockOwnAccount(ctx, q, c)
		if err != nil {
			return err
		}
		factor := in.Body.EmailAuthFactor
		if a.Email == email && factor != nil && *factor {
			return onlyFactor(ctx, q, a)
		}
		factors, err := secondFactors(ctx, q, a.AID)
		if err == nil && factors.App { // a mailed code alone is what the token below is
			err = m.confirmed(c, factors)
		}
		if err != nil {
			return err
		}
		if a.EmailConfirmed {
			if in.Body.Token == "" {
				return refuse(http.StatusBadRequest, "TokenRequired", "confirmation token required")
			}
			if err := m.mail.use(ctx, q, secrets, c.AID, accounts.TokenUpdateEmail, in.Body.Token); err != nil {
				return err
			}
		}
		if a.Email != email || factor == nil {
			if err := accounts.SetEmail(ctx, q, c.AID, email); err != nil {
				return err
			}
			a.EmailConfirmed = false
		}
		if factor == nil {
			return nil
		}
		return accounts.SetEmailFactor(ctx, q, a, *factor)
	})
	if err != nil {
		return nil, err
	}
	return &serverUpdateEmailOutput{}, nil
}

// onlyFactor switches mailed codes on, with nothing to prove: it makes the account safer. Not so beside an authenticator
// app, where they are another way in, and who has a session and the mailbox would be past the app.
func onlyFactor(ctx context.Context, q *tenantdb.Queries, a *accounts.Account) error {
	factors, err := secondFactors(ctx, q, a.AID)
	if err == nil && factors.App && !factors.Email {
		err = invalid("An authenticator app is on: %ssetEmailFactor switches mailed codes on beside it", ownNamespace+"server.")
	}
	if err != nil {
		return err
	}
	return accounts.SetEmailFactor(ctx, q, a, true)
}
