package act

import (
	"context"
	"errors"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

const actFactor = "account second-factor"

// noticeLife is how long a notice is worth sending: a mail server may be down for days.
const noticeLife = 7 * 24 * time.Hour

// OfferAuthenticator makes the secret of an authenticator app for an account, as an otpauth URI. It counts once
// [Acts.ConfirmAuthenticator] has seen a code of it. Errors: [accounts.ErrAuthenticatorOn].
func (a *Acts) OfferAuthenticator(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account) (uri string, err error) {
	made := accounts.NewAuthenticator(t.Hostname, who.Handle)
	err = a.onFactors(ctx, t, by, who, "app", func(q *tenantdb.Queries) ([]mail.Kind, error) {
		return nil, accounts.InsertAuthenticator(ctx, q, a.Keys, t.Schema, a.Now().UTC(), who.AID, made)
	})
	return made.URI, err
}

// ConfirmAuthenticator switches the offered authenticator on, by a code that it shows, and gives new backup codes.
// Errors: [accounts.ErrNoAuthenticator], [accounts.ErrTokenInvalid].
func (a *Acts) ConfirmAuthenticator(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account, code string) (backup []string, err error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return nil, err
	}
	err = a.onFactors(ctx, t, by, who, "confirm", func(q *tenantdb.Queries) ([]mail.Kind, error) {
		err := accounts.ConfirmAuthenticator(ctx, q, a.Keys, t.Schema, a.Now().UTC(), who.AID, code)
		if err == nil {
			backup, err = accounts.ReplaceBackupCodes(ctx, q, secrets.Typed(), who.AID)
		}
		return []mail.Kind{mail.KindAppFactorOn}, err
	})
	if err != nil {
		return nil, err
	}
	return backup, nil
}

// RemoveFactors takes every second factor from an account: for somebody who has lost them.
func (a *Acts) RemoveFactors(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account) error {
	return a.onFactors(ctx, t, by, who, "off", func(q *tenantdb.Queries) (notices []mail.Kind, err error) {
		before, err := accounts.SecondFactors(ctx, q, who.AID)
		if err != nil {
			return nil, err
		}
		if before.App {
			notices = append(notices, mail.KindAppFactorOff)
		}
		if before.Email {
			notices = append(notices, mail.KindEmailFactorOff)
		}
		if err := accounts.DeleteAuthenticator(ctx, q, who.AID); err != nil && !errors.Is(err, accounts.ErrNoAuthenticator) {
			return nil, err
		}
		if _, err := accounts.Distrust(ctx, q, who.AID, nil); err != nil {
			return nil, err
		}
		return notices, accounts.SetEmailFactor(ctx, q, who, false)
	})
}

// onFactors changes how an account is protected. As when the account does it, whoever is locked out by this hears of it.
func (a *Acts) onFactors(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account, what string, change func(*tenantdb.Queries) ([]mail.Kind, error)) error {
	err := a.change(ctx, t, by, actFactor, deed{who.DID, map[string]string{"change": what}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		notices, err := change(q)
		if err != nil {
			return nil, err
		}
		lang := mail.Match("", t.Settings.MailLanguage)
		for _, kind := range notices {
			if err := a.tellOwner(ctx, q, t, who, mail.Note{Kind: kind, Lang: lang}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return err
}

// tellOwner queues a notice to an account's owner, in the transaction of what it tells of. Without an address there is
// nobody to tell.
func (a *Acts) tellOwner(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, who *accounts.Account, note mail.Note) error {
	if who.Email == "" {
		return nil
	}
	note.Handle = who.Handle
	return a.Outbox.Put(ctx, q, t, who.AID, who.Email, note, noticeLife)
}
