package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actSendReset   = "org.auroralocus.admin.sendPasswordReset"
	actEndSessions = "org.auroralocus.admin.endSessions"
	actRetryMail   = "org.auroralocus.admin.retryMail"
	actDropMail    = "org.auroralocus.admin.dropMail"
	actTryMail     = "org.auroralocus.admin.tryMail"
)

var (
	// ErrNoMail: the message does not wait. It was sent or given up, or a process is trying it now.
	ErrNoMail = errors.New("the message does not wait any more: it was sent or given up, or is being tried now")
	// ErrReason: the reason of a rejection is no text, or too long.
	ErrReason = fmt.Errorf("a reason must be text of at most %d bytes", maxReason)
)

// maxReason bounds what an applicant is told, in bytes.
const maxReason = 2000

// RejectSignup removes an account whose sign-up waits for approval. Its owner is written to, with the reason if there is
// one. Errors: [ErrReason], [accounts.ErrNotFound], [accounts.ErrDeciding], [ErrNotWaiting].
func (a *Acts) RejectSignup(ctx context.Context, t *tenant.Tenant, by Operator, did, reason string) error {
	if len(reason) > maxReason || strings.IndexByte(reason, 0) >= 0 {
		return ErrReason
	}
	who, err := a.findWaiting(ctx, t, did)
	if err != nil {
		return err
	}
	return a.reject(ctx, t, by, who, reason)
}

// ErrNotWaiting: there is nothing to decide on. What is an account by now is not removed by a look at an old page.
var ErrNotWaiting = errors.New("the account waits for nothing: somebody has decided already")

// findWaiting is find of an account that waits for approval.
func (a *Acts) findWaiting(ctx context.Context, t *tenant.Tenant, did string) (*accounts.Account, error) {
	who, err := a.find(ctx, t, did)
	if err != nil {
		return nil, err
	}
	err = accounts.NotAwaiting(ctx, a.DB.Tenant(t.Schema).Q(), who.AID)
	switch {
	case err == nil:
		return nil, ErrNotWaiting
	case !errors.Is(err, accounts.ErrAwaiting):
		return nil, err
	}
	return who, nil
}

// ApproveSignup is [Acts.Approve] for an account that waits, and for no other. Errors: also [ErrNotWaiting].
func (a *Acts) ApproveSignup(ctx context.Context, t *tenant.Tenant, by Operator, did string) error {
	if _, err := a.findWaiting(ctx, t, did); err != nil {
		return err
	}
	return a.Approve(ctx, t, by, did)
}

// SendPasswordReset mails an account the token by which its owner sets another password. The operator does not see it.
// Errors: [accounts.ErrNotFound], [accounts.ErrNoEmail].
func (a *Acts) SendPasswordReset(ctx context.Context, t *tenant.Tenant, by Operator, did string) error {
	_, err := a.mailTokenWith(ctx, t, t.Settings.MailLanguage, accounts.TokenResetPassword, mail.Kind(accounts.TokenResetPassword),
		func(q *tenantdb.Queries) (*accounts.Account, error) { return accounts.ByDID(ctx, q, did) },
		func(q *tenantdb.Queries) error { return a.record(ctx, q, by, actSendReset, deed{did, nil}) })
	return err
}

// EndSessions signs an account out everywhere, on browsers and of apps, for an operator. The password stays, so its owner
// comes in again. The owner finds it in the account's own log. Errors: [accounts.ErrNotFound].
func (a *Acts) EndSessions(ctx context.Context, t *tenant.Tenant, by Operator, did string) error {
	who, err := a.find(ctx, t, did)
	if err != nil {
		return err
	}
	err = a.change(ctx, t, by, actEndSessions, deed{who.DID, nil}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := signOutEverywhere(ctx, q, who.AID); err != nil {
			return nil, err
		}
		return nil, a.note(ctx, q, Visitor{}, who.AID, accounts.EventSignedOut, "")
	})
	a.Actors.Forget(t.Schema, who.DID)
	return err
}

// Queued is a message of a tenant's mail, as operators see it.
type Queued = outbox.Entry

// MailParts are the parts of a tenant's mail that [Acts.Mail] lists; the empty text is all of it.
var MailParts = outbox.Parts

// ErrMailPlace: not a part of the mail, or not a place that a page before gave.
var ErrMailPlace = outbox.ErrPlace

// Mail lists some of a tenant's messages, newest first. after is what the page before gave, "" at first; next is "" after
// the last page. Errors: [ErrMailPlace].
func (a *Acts) Mail(ctx context.Context, t *tenant.Tenant, part, after string, limit int) (page []Queued, next string, err error) {
	return outbox.Page(ctx, a.DB.Tenant(t.Schema).Q(), part, after, limit)
}

// RetryMail has a message that waits tried at once. Errors: [ErrNoMail].
func (a *Acts) RetryMail(ctx context.Context, t *tenant.Tenant, by Operator, id string) error {
	err := a.onMail(ctx, t, by, actRetryMail, id, func(q *tenantdb.Queries, now time.Time) (to, about string, err error) {
		row, err := q.UpdateMailDue(ctx, tenantdb.UpdateMailDueParams{MailID: id, Now: now})
		return row.Recipient, row.About, err
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return err
}

// DropMail removes a message that waits. Errors: [ErrNoMail].
func (a *Acts) DropMail(ctx context.Context, t *tenant.Tenant, by Operator, id string) error {
	return a.onMail(ctx, t, by, actDropMail, id, func(q *tenantdb.Queries, _ time.Time) (to, about string, err error) {
		row, err := q.DeleteWaitingMail(ctx, id)
		return row.Recipient, row.About, err
	})
}

func (a *Acts) onMail(ctx context.Context, t *tenant.Tenant, by Operator, action, id string, do func(*tenantdb.Queries, time.Time) (to, about string, err error)) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		to, about, err := do(q, a.Now())
		if db.IsNoRows(err) {
			return ErrNoMail
		}
		if err != nil {
			return fmt.Errorf("mail %s: %w", id, err)
		}
		return a.record(ctx, q, by, action, deed{id, map[string]any{"to": to, "about": about}})
	})
}

// ErrTryMail: a test message did not get through. Its text is what the mail server said.
var ErrTryMail = errors.New("the test message was not taken")

// TryMail sends a test message by the tenant's mail server, now. The log has it with what came of it. Errors: [ErrTryMail].
func (a *Acts) TryMail(ctx context.Context, t *tenant.Tenant, by Operator, to string) error {
	note := mail.Note{Kind: mail.KindMessage, Lang: t.Settings.MailLanguage, Subject: "Test", Text: "Mail of " + t.Hostname + " arrives."}
	tried := a.Outbox.Try(ctx, t, to, note)
	outcome := map[string]any{"to": to, "taken": tried == nil}
	if tried != nil {
		outcome["said"] = tried.Error()
	}
	// Also when whoever asked has gone meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error { return a.record(ctx, q, by, actTryMail, deed{t.Hostname, outcome}) })
	if err == nil && tried != nil {
		err = &saidError{ErrTryMail, tried.Error()}
	}
	return err
}
