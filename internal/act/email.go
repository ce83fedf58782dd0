package act

import (
	"context"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/tenant"
)

// RequestEmailConfirmation mails the token that [Acts.ConfirmEmail] wants. Errors: [accounts.ErrNoEmail],
// [auth.ErrAccountNotFound].
func (a *Acts) RequestEmailConfirmation(ctx context.Context, t *tenant.Tenant, by Owner) error {
	return a.mailOwner(ctx, t, by, accounts.TokenConfirmEmail)
}

// ConfirmEmail notes that the account's address is its owner's, by the token mailed there. Errors: [accounts.ErrEmailOther],
// [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], [auth.ErrAccountNotFound].
func (a *Acts) ConfirmEmail(ctx context.Context, t *tenant.Tenant, by Owner, address, token string) error {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		who, err := lockOwnAccount(ctx, q, by)
		if err != nil {
			return err
		}
		if who.Email == "" || who.Email != strings.ToLower(strings.TrimSpace(address)) {
			return accounts.ErrEmailOther
		}
		if err := a.useToken(ctx, q, secrets, by.AID, accounts.TokenConfirmEmail, token); err != nil {
			return err
		}
		return accounts.ConfirmEmail(ctx, q, a.Now(), by.AID, who.Email)
	})
}

// RequestEmailChange says whether [Acts.ChangeOwnEmail] wants a token, and mails it to the present address if so: an
// address that was never confirmed protects nothing. Errors: [accounts.ErrNoEmail], [auth.ErrAccountNotFound].
func (a *Acts) RequestEmailChange(ctx context.Context, t *tenant.Tenant, by Owner) (wanted bool, err error) {
	who, err := ownAccount(ctx, a.DB.Tenant(t.Schema).Q(), by)
	if err != nil || !who.EmailConfirmed {
		return false, err
	}
	return true, a.mailOwner(ctx, t, by, accounts.TokenUpdateEmail)
}

// EmailChange is what an owner wants of the account's address.
type EmailChange struct {
	Address string
	Token   string // that was mailed to the present address; wanted if that is confirmed
	Factor  *bool  // mailed codes at sign-in; nil leaves that to the address
}

// ChangeOwnEmail gives the account another address, by a token if the present one is confirmed, and only after a code if
// an authenticator app is on. The new one is not confirmed. With the present address and a factor it only switches mailed
// sign-in codes on or off; on needs no token.
// Errors: those of [accounts.CheckEmail], [ErrTokenRequired], [ErrBesideApp], [accounts.ErrFactorOld],
// [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], [accounts.ErrEmailTaken], [accounts.ErrEmailUnconfirmed],
// [auth.ErrAccountNotFound].
func (a *Acts) ChangeOwnEmail(ctx context.Context, t *tenant.Tenant, by Owner, to EmailChange) error {
	email, err := accounts.CheckEmail(&t.Settings, to.Address)
	if err != nil {
		return err
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		who, err := lockOwnAccount(ctx, q, by)
		if err != nil {
			return err
		}
		if who.Email == email && to.Factor != nil && *to.Factor {
			return onlyFactor(ctx, q, who)
		}
		factors, err := ownFactors(ctx, q, who.AID)
		if err == nil && factors.App { // a mailed code alone is what the token below is
			err = a.confirmed(by, factors)
		}
		if err != nil {
			return err
		}
		if who.EmailConfirmed {
			if to.Token == "" {
				return ErrTokenRequired
			}
			if err := a.useToken(ctx, q, secrets, by.AID, accounts.TokenUpdateEmail, to.Token); err != nil {
				return err
			}
		}
		if who.Email != email || to.Factor == nil {
			if err := accounts.SetEmail(ctx, q, by.AID, email); err != nil {
				return err
			}
			who.EmailConfirmed = false
		}
		if to.Factor == nil {
			return nil
		}
		return accounts.SetEmailFactor(ctx, q, who, *to.Factor)
	})
}

// onlyFactor switches mailed codes on, with nothing to prove: it makes the account safer. Beside an authenticator app
// it does not: mailed codes are another way in there, and whoever has a session and the mailbox would get past the app.
func onlyFactor(ctx context.Context, q *tenantdb.Queries, who *accounts.Account) error {
	factors, err := ownFactors(ctx, q, who.AID)
	if err == nil && factors.App && !factors.Email {
		err = ErrBesideApp
	}
	if err != nil {
		return err
	}
	return accounts.SetEmailFactor(ctx, q, who, true)
}
