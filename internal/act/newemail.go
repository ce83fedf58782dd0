package act

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// NewEmailMails are of the codes that one account has mailed to addresses that may be anybody's.
var NewEmailMails = []limit.Bucket{{Name: "new-email-1h", Points: 5, Window: time.Hour}, {Name: "new-email-1d", Points: 15, Window: 24 * time.Hour}}

// RequestNewEmail mails the codes that [Acts.MoveEmail] wants: one to the address that the account is going to have, and
// one to the address that it has, if that is confirmed. present says whether there are two. Errors: [ErrProofOld], those
// of [accounts.CheckEmail], [ErrEmailSame], [accounts.ErrEmailTaken], [WaitError], [auth.ErrAccountNotFound].
func (a *Acts) RequestNewEmail(ctx context.Context, t *tenant.Tenant, by Owner, address string) (present bool, err error) {
	if err := a.fresh(by); err != nil {
		return false, err
	}
	email, err := accounts.CheckEmail(&t.Settings, address)
	if err != nil {
		return false, err
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return false, err
	}
	if err := a.mayMailTo(t, by, NewEmailMails...); err != nil {
		return false, err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		who, err := lockOwnAccount(ctx, q, by)
		if err != nil {
			return err
		}
		if err := a.newEmailFree(ctx, q, who, email); err != nil {
			return err
		}
		if present = who.EmailConfirmed; present {
			token, err := accounts.IssueToken(ctx, q, secrets.Typed(), a.Now(), who, accounts.TokenUpdateEmail)
			if err != nil {
				return err
			}
			note := mail.Note{Kind: mail.KindUpdateEmail, Lang: by.Language, Handle: who.Handle, Code: token}
			if err := a.Outbox.Put(ctx, q, t, who.AID, who.Email, note, accounts.TokenLife); err != nil {
				return err
			}
		}
		code := accounts.NewEmailCode(secrets.Typed(), who, email, a.Now())
		return a.Outbox.Put(ctx, q, t, who.AID, email, mail.Note{Kind: mail.KindNewEmail, Lang: by.Language, Handle: who.Handle, Code: code}, accounts.TokenLife)
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return present, err
}

// mayMailTo counts a mail to somebody who may be a stranger. Errors: [WaitError].
func (a *Acts) mayMailTo(t *tenant.Tenant, by Owner, most ...limit.Bucket) error {
	if !by.Counted || a.Limits == nil {
		return nil
	}
	if v := a.Limits.Take(t.Schema, by.DID, 1, t.Settings.RateLimitPercent, most...); v.Refused {
		return &WaitError{time.Duration(v.RetryAfter(a.Now())) * time.Second}
	}
	return nil
}

// newEmailFree looks whether an account can have an address. The database decides in the end.
func (a *Acts) newEmailFree(ctx context.Context, q *tenantdb.Queries, who *accounts.Account, email string) error {
	if who.Email == email {
		return ErrEmailSame
	}
	n, err := q.CountAccountsWithEmail(ctx, tenantdb.CountAccountsWithEmailParams{Email: email, StaleBefore: a.Now().Add(-accounts.StaleAfter)})
	if err != nil {
		return fmt.Errorf("look for address: %w", err)
	}
	if n > 0 {
		return &accounts.TakenError{Kind: accounts.ErrEmailTaken, Value: email}
	}
	return nil
}

// EmailMove is another address for an account, with the codes that were mailed for it.
type EmailMove struct {
	Address string
	New     string // the code that went there
	Present string // the code that went to the present address, if that is confirmed
}

// MoveEmail gives the account another address, by the codes of [Acts.RequestNewEmail]. The new one is confirmed by that,
// and mailed sign-in codes go on there. The address before is told. Errors: those of [accounts.CheckEmail],
// [ErrTokenRequired], [ErrEmailSame], [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], [accounts.ErrEmailTaken],
// [auth.ErrAccountNotFound].
func (a *Acts) MoveEmail(ctx context.Context, t *tenant.Tenant, by Owner, to EmailMove) error {
	email, err := accounts.CheckEmail(&t.Settings, to.Address)
	if err != nil {
		return err
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		who, err := lockOwnAccount(ctx, q, by)
		if err != nil {
			return err
		}
		if who.Email == email {
			return ErrEmailSame
		}
		if to.New == "" || who.EmailConfirmed && to.Present == "" {
			return ErrTokenRequired
		}
		if err := accounts.CheckNewEmailCode(secrets.Typed(), who, email, to.New, a.Now()); err != nil {
			return err
		}
		if who.EmailConfirmed {
			if err := a.useToken(ctx, q, secrets, by.AID, accounts.TokenUpdateEmail, to.Present); err != nil {
				return err
			}
		}
		if err := accounts.SetEmail(ctx, q, by.AID, email); err != nil {
			return err
		}
		if err := accounts.ConfirmEmail(ctx, q, a.Now(), by.AID, email); err != nil {
			return err
		}
		return a.toldOf(ctx, q, t, by, who, mail.Note{Kind: mail.KindEmailChanged, Detail: email})
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return err
}
