package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// mailWait is how long an act waits for the mail that its answer announces. A mail server that is slower, or down, does
// not hold it up further.
const mailWait = time.Second

// mailToken issues a token that proves whose address it is, or the one that is out and still good, and queues the mail
// with it: both or neither. find picks the account inside the transaction. kind is what the mail names, where a token of
// one purpose serves several things. It gives the message's id. Errors: [accounts.ErrNoEmail], [accounts.ErrEmailOther],
// those of find.
func (a *Acts) mailToken(ctx context.Context, t *tenant.Tenant, lang string, purpose accounts.TokenPurpose, kind mail.Kind, find func(*tenantdb.Queries) (*accounts.Account, error)) (id string, err error) {
	return a.mailTokenWith(ctx, t, lang, purpose, kind, find, func(*tenantdb.Queries) error { return nil })
}

// mailTokenWith is mailToken that also writes something down, in the same transaction.
func (a *Acts) mailTokenWith(ctx context.Context, t *tenant.Tenant, lang string, purpose accounts.TokenPurpose, kind mail.Kind, find func(*tenantdb.Queries) (*accounts.Account, error), also func(*tenantdb.Queries) error) (id string, err error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return "", err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		var who *accounts.Account
		var token string
		for try := 1; ; try++ {
			var err error
			if who, err = find(q); err != nil {
				return err
			}
			if who.Email == "" {
				return accounts.ErrNoEmail
			}
			token, err = accounts.IssueToken(ctx, q, secrets.Typed(), a.Now(), who, purpose)
			if err == nil {
				break
			}
			if try > 1 || !errors.Is(err, accounts.ErrEmailOther) {
				return err
			}
			// The address was changed in this moment: whoever find finds now gets the mail.
		}
		note := mail.Note{Kind: kind, Lang: lang, Handle: who.Handle, Code: token}
		if id, err = a.Outbox.Post(ctx, q, t, who.AID, who.Email, note, accounts.TokenLife); err != nil {
			return err
		}
		return also(q)
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return id, err
}

// mailOwner is mailToken for who is signed in, and lets the mail go out before the answer.
func (a *Acts) mailOwner(ctx context.Context, t *tenant.Tenant, by Owner, purpose accounts.TokenPurpose) error {
	id, err := a.mailToken(ctx, t, by.Language, purpose, mail.Kind(purpose), func(q *tenantdb.Queries) (*accounts.Account, error) {
		return ownAccount(ctx, q, by)
	})
	if err == nil {
		a.Outbox.Await(ctx, t, id, mailWait)
	}
	return err
}

// useToken consumes a token of an account, inside the transaction of what it allows.
func (a *Acts) useToken(ctx context.Context, q *tenantdb.Queries, secrets *auth.Secrets, aid int64, purpose accounts.TokenPurpose, token string) error {
	return accounts.UseToken(ctx, q, secrets.Typed(), a.Now(), aid, purpose, token)
}

// ownAccount is the owner's account as it is in the database now. Errors: [auth.ErrAccountNotFound].
func ownAccount(ctx context.Context, q *tenantdb.Queries, by Owner) (*accounts.Account, error) {
	who, err := accounts.ByDID(ctx, q, by.DID)
	return who, ended(err)
}

// lockOwnAccount is ownAccount for who decides on the address: it stays as it is until the transaction ends.
func lockOwnAccount(ctx context.Context, q *tenantdb.Queries, by Owner) (*accounts.Account, error) {
	if _, err := q.LockAccount(ctx, by.AID); err != nil && !db.IsNoRows(err) {
		return nil, fmt.Errorf("lock account %d: %w", by.AID, err)
	}
	return ownAccount(ctx, q, by)
}

// ownFactors are the second factors of the owner's account. Errors: [auth.ErrAccountNotFound].
func ownFactors(ctx context.Context, q *tenantdb.Queries, aid int64) (accounts.Factors, error) {
	f, err := accounts.SecondFactors(ctx, q, aid)
	return f, ended(err)
}

// ended is what it is called for a session that its account was deleted a moment ago.
func ended(err error) error {
	if errors.Is(err, accounts.ErrNotFound) {
		return auth.ErrAccountNotFound
	}
	return err
}
