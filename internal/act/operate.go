package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actPassword = "com.atproto.admin.updateAccountPassword"
	actEmail    = "com.atproto.admin.updateAccountEmail"
	actSend     = "com.atproto.admin.sendEmail"
)

// SetPassword sets an account's main password and ends its sessions. Errors: [accounts.ErrPasswordLength],
// [accounts.ErrNotFound], [accounts.ErrBusy].
func (a *Acts) SetPassword(ctx context.Context, t *tenant.Tenant, by Operator, did, password string) error {
	if err := accounts.CheckNewPassword(&t.Settings, password); err != nil {
		return err
	}
	who, err := a.find(ctx, t, did)
	if err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, by.from(t), password)
	if err != nil {
		return err
	}
	err = a.change(ctx, t, by, actPassword, deed{who.DID, nil}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		_, err := accounts.SetPassword(ctx, q, who.AID, hash)
		return nil, err
	})
	if err == nil {
		a.Actors.Forget(t.Schema, who.DID)
	}
	return err
}

// SetEmail gives an account another address, which is not confirmed. The operator may use a domain that the tenant
// refuses. Errors: those of [accounts.CheckEmail], [accounts.ErrEmailTaken], [accounts.ErrNotFound].
func (a *Acts) SetEmail(ctx context.Context, t *tenant.Tenant, by Operator, identifier, address string) error {
	rules := t.Settings
	rules.EmailBlockDisposable, rules.EmailBlockedDomains = false, nil
	email, err := accounts.CheckEmail(&rules, address)
	if err != nil {
		return err
	}
	who, err := a.named(ctx, t, identifier)
	if err != nil {
		return err
	}
	return a.change(ctx, t, by, actEmail, deed{who.DID, map[string]any{"from": who.Email, "to": email}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, accounts.SetEmail(ctx, q, who.AID, email)
	})
}

// named is the account with a DID or a handle.
func (a *Acts) named(ctx context.Context, t *tenant.Tenant, identifier string) (*accounts.Account, error) {
	id := accounts.Identifier(identifier)
	if strings.HasPrefix(id, "did:") {
		return a.find(ctx, t, id)
	}
	return accounts.ByHandle(ctx, a.DB.Tenant(t.Schema).Q(), id)
}

// Message is what an operator writes to an account.
type Message struct {
	Subject, Text      string
	SenderDID, Comment string // for the audit log
}

const (
	// messageLife is how long the queue tries to deliver an operator's message.
	messageLife = 3 * 24 * time.Hour
	maxSubject  = 250
	maxContent  = 100_000
)

// Write queues a message to an account, in the transaction that writes it down. Errors: [ErrMessage], [ErrRecipient],
// [accounts.ErrNoEmail].
func (a *Acts) Write(ctx context.Context, t *tenant.Tenant, by Operator, did string, m Message) error {
	note := mail.Note{Kind: mail.KindMessage, Lang: t.Settings.MailLanguage, Subject: m.Subject, Text: m.Text}
	if note.Subject == "" {
		note.Subject = "Message via your PDS"
	}
	if len(note.Subject) > maxSubject || strings.ContainsAny(note.Subject, "\r\n\x00") {
		return &saidError{ErrMessage, fmt.Sprintf("subject must be one line of at most %d bytes", maxSubject)}
	}
	if note.Text == "" || len(note.Text) > maxContent {
		return &saidError{ErrMessage, fmt.Sprintf("content must have 1 to %d bytes", maxContent)}
	}
	detail := map[string]any{"subject": note.Subject, "senderDid": m.SenderDID, "comment": m.Comment}
	err := a.change(ctx, t, by, actSend, deed{did, detail}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		who, err := accounts.ByDID(ctx, q, did)
		if errors.Is(err, accounts.ErrNotFound) {
			return nil, ErrRecipient
		}
		if err != nil {
			return nil, err
		}
		if who.Email == "" {
			return nil, accounts.ErrNoEmail
		}
		note.Handle = who.Handle
		return nil, a.Outbox.Put(ctx, q, t, who.AID, who.Email, note, messageLife)
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return err
}

// saidError is a refusal of a kind with words of its own.
type saidError struct {
	kind error
	text string
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Said() string  { return e.text }
func (e *saidError) Unwrap() error { return e.kind }
