package act

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// ResetAnswerTime is how long [Acts.RequestPasswordReset] takes at least: more than storing a token, so that the time does
// not tell whether an account has the address.
const ResetAnswerTime = 300 * time.Millisecond

// RequestPasswordReset mails the token that [Acts.ResetPassword] wants. What comes of it is the same whether an account has
// the address or not, and whether it was written to often enough. Errors: [accounts.ErrNoEmail].
func (a *Acts) RequestPasswordReset(ctx context.Context, t *tenant.Tenant, v Visitor, address string) error {
	floor := time.NewTimer(ResetAnswerTime)
	defer floor.Stop()
	email := strings.ToLower(strings.TrimSpace(address))
	find := func(q *tenantdb.Queries) (*accounts.Account, error) {
		if !strings.Contains(email, "@") { // ByIdentifier would take a handle
			return nil, accounts.ErrNotFound
		}
		return accounts.ByIdentifier(ctx, q, email)
	}
	q := a.DB.Tenant(t.Schema).Q()
	who, err := find(q)
	switch {
	case err != nil:
	case a.mayMail(t, v, who.DID, ResetMails...):
		_, err = a.mailToken(ctx, t, v.Language, accounts.TokenResetPassword, mail.Kind(accounts.TokenResetPassword), find)
	default:
		err = accounts.ReviveToken(ctx, q, a.Now(), who.AID, accounts.TokenResetPassword)
	}
	if errors.Is(err, accounts.ErrEmailOther) {
		err = accounts.ErrNotFound // changed hands twice in this moment: nobody has it
	}
	if err != nil && !errors.Is(err, accounts.ErrNotFound) {
		return err
	}
	select {
	case <-floor.C:
	case <-ctx.Done():
	}
	return nil
}

// ResetPassword sets a new password by a mailed token and ends all sessions, those of app passwords too.
// Errors: [accounts.ErrPasswordLength], [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], [accounts.ErrBusy].
func (a *Acts) ResetPassword(ctx context.Context, t *tenant.Tenant, v Visitor, token, password string) error {
	if err := accounts.CheckNewPassword(&t.Settings, password); err != nil {
		return err
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	tdb := a.DB.Tenant(t.Schema)
	// A look first: strangers' guesses cost no hash.
	aid, err := accounts.TokenOwner(ctx, tdb.Q(), secrets.Typed(), a.Now(), accounts.TokenResetPassword, token)
	if err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, v.From, password)
	if err != nil {
		return err
	}
	var did string
	err = tdb.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if err := a.useToken(ctx, q, secrets, aid, accounts.TokenResetPassword, token); err != nil {
			return err
		}
		if did, err = accounts.SetPassword(ctx, q, aid, hash); err != nil {
			return err
		}
		return a.note(ctx, q, v, aid, accounts.EventPasswordReset, "")
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return accounts.ErrTokenInvalid
	}
	if err == nil {
		a.Actors.Forget(t.Schema, did) // the access tokens that are out are dead
	}
	return err
}

// NewAppPassword is what is said of a password for one app.
type NewAppPassword struct {
	Name       string
	Privileged bool
	ExpiresAt  *time.Time // nil: never
}

// CreateAppPassword makes a password for one app, and shows it this one time. Where a second factor is on, the session
// must have shown it a short while ago.
// Errors: [accounts.ErrFactorOld], [accounts.ErrAppPasswordName], [accounts.ErrAppPasswordTaken],
// [accounts.ErrAppPasswords], [accounts.ErrAppPasswordExpiry], [auth.ErrAccountNotFound].
func (a *Acts) CreateAppPassword(ctx context.Context, t *tenant.Tenant, by Owner, n NewAppPassword) (made accounts.AppPassword, password string, err error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return made, "", err
	}
	made = accounts.AppPassword{Name: n.Name, Privileged: n.Privileged, ExpiresAt: n.ExpiresAt, CreatedAt: a.Now()}
	password = accounts.NewAppPassword()
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		factors, err := ownFactors(ctx, q, by.AID)
		if err == nil {
			err = a.confirmed(by, factors)
		}
		if err != nil {
			return err
		}
		if err := accounts.InsertAppPassword(ctx, q, secrets.Typed(), by.AID, made, password); err != nil {
			return ended(err)
		}
		return a.told(ctx, q, t, by, mail.Note{Kind: mail.KindAppPassword, Detail: made.Name})
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return made, password, err
}

// RevokeAppPassword deletes an app password and ends its sessions. One that is not there is no error.
func (a *Acts) RevokeAppPassword(ctx context.Context, t *tenant.Tenant, by Owner, name string) error {
	err := a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		was, err := accounts.RevokeAppPassword(ctx, q, a.Now(), by.AID, name)
		if err != nil || !was {
			return err
		}
		return a.note(ctx, q, by.Visitor, by.AID, accounts.EventAppPasswordGone, name)
	})
	if err == nil {
		a.Actors.Forget(t.Schema, by.DID)
	}
	return err
}
