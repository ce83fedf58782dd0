package handlers

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
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// tokenMail mails the tokens that prove whose address it is.
type tokenMail struct {
	db       *db.DB
	sessions *auth.Sessions
	outbox   *outbox.Outbox
	now      func() time.Time
}

// send issues a token, or the one that is out and still good, and queues the mail with it: both or neither. find picks the account
// inside the transaction. It gives the message's id.
func (m tokenMail) send(ctx context.Context, v visitor, purpose accounts.TokenPurpose, find func(*tenantdb.Queries) (*accounts.Account, error)) (id string, err error) {
	return m.sendAs(ctx, v, purpose, mail.Kind(purpose), find)
}

// sendAs is send where a token of one purpose serves several things, of which the mail names one.
func (m tokenMail) sendAs(ctx context.Context, v visitor, purpose accounts.TokenPurpose, kind mail.Kind, find func(*tenantdb.Queries) (*accounts.Account, error)) (id string, err error) {
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return "", err
	}
	err = m.db.Tenant(v.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		var a *accounts.Account
		var token string
		for try := 1; ; try++ {
			var err error
			if a, err = find(q); err != nil {
				return err
			}
			if a.Email == "" {
				return accounts.ErrNoEmail
			}
			token, err = accounts.IssueToken(ctx, q, secrets.Typed(), m.now(), a, purpose)
			if err == nil {
				break
			}
			if try > 1 || !errors.Is(err, accounts.ErrEmailOther) {
				return err
			}
			// The address was changed in this moment: whoever find finds now gets the mail.
		}
		note := mail.Note{Kind: kind, Lang: language(v), Handle: a.Handle, Code: token}
		id, err = m.outbox.Post(ctx, q, v.Tenant, a.AID, a.Email, note, accounts.TokenLife)
		return err
	})
	if err == nil {
		m.outbox.Wake(v.Tenant)
	}
	return id, err
}

// mailWait is how long an answer waits for the mail that it announces. A mail server that is slower, or down, does not
// hold it up further.
const mailWait = time.Second

// toCaller is send for who is signed in, and lets the mail go out before the answer.
func (m tokenMail) toCaller(ctx context.Context, c accountCaller, purpose accounts.TokenPurpose) error {
	id, err := m.send(ctx, c.visitor, purpose, func(q *tenantdb.Queries) (*accounts.Account, error) {
		return ownAccount(ctx, q, c)
	})
	if err == nil {
		m.outbox.Await(ctx, c.Tenant, id, mailWait)
	}
	return err
}

// use consumes a token of an account, inside the transaction of what it allows.
func (m tokenMail) use(ctx context.Context, q *tenantdb.Queries, secrets *auth.Secrets, aid int64, purpose accounts.TokenPurpose, token string) error {
	return accounts.UseToken(ctx, q, secrets.Typed(), m.now(), aid, purpose, token)
}

// ownAccount is the caller's account as it is in the database now.
func ownAccount(ctx context.Context, q *tenantdb.Queries, c accountCaller) (*accounts.Account, error) {
	a, err := accounts.ByDID(ctx, q, c.DID)
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, auth.ErrAccountNotFound
	}
	return a, err
}

// lockOwnAccount is ownAccount for who decides on the address: it stays as it is until the transaction ends.
func lockOwnAccount(ctx context.Context, q *tenantdb.Queries, c accountCaller) (*accounts.Account, error) {
	if _, err := q.LockAccount(ctx, c.AID); err != nil && !db.IsNoRows(err) {
		return nil, fmt.Errorf("lock account %d: %w", c.AID, err)
	}
	return ownAccount(ctx, q, c)
}

// language is what the visitor reads, as far as there are texts in it.
func language(v visitor) string {
	return mail.Match(v.Header("Accept-Language"), v.Tenant.Settings.MailLanguage)
}
