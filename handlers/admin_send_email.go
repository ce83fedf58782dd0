package handlers

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/mail"
)

const (
	// operatorMailLife is how long the queue tries to deliver an operator's message.
	operatorMailLife = 3 * 24 * time.Hour
	maxSubject       = 250
	maxContent       = 100_000
)

// sendEmail queues a message to an account, in the transaction that writes it down.
// spec: lexicon com.atproto.admin.sendEmail
func (m adminMethods) sendEmail(ctx context.Context, c operatorCaller, in *adminSendEmailInput) (*adminSendEmailOutput, error) {
	b := &in.Body
	note := mail.Note{Kind: mail.KindMessage, Lang: c.Tenant.Settings.MailLanguage, Subject: b.Subject, Text: b.Content}
	if note.Subject == "" {
		note.Subject = "Message via your PDS"
	}
	if len(note.Subject) > maxSubject || strings.ContainsAny(note.Subject, "\r\n\x00") {
		return nil, invalid("subject must be one line of at most %d bytes", maxSubject)
	}
	if note.Text == "" || len(note.Text) > maxContent {
		return nil, invalid("content must have 1 to %d bytes", maxContent)
	}
	detail := map[string]any{"subject": note.Subject, "senderDid": b.SenderDid, "comment": b.Comment}
	err := m.act(ctx, c, string(b.RecipientDid), detail, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		a, err := accounts.ByDID(ctx, q, string(b.RecipientDid))
		if errors.Is(err, accounts.ErrNotFound) {
			return nil, invalid("Recipient not found")
		}
		if err != nil {
			return nil, err
		}
		if a.Email == "" {
			return nil, accounts.ErrNoEmail
		}
		note.Handle = a.Handle
		return nil, m.outbox.Put(ctx, q, c.Tenant, a.AID, a.Email, note, operatorMailLife)
	})
	if err != nil {
		return nil, err
	}
	m.outbox.Wake(c.Tenant)
	return &adminSendEmailOutput{Body: adminSendEmailOutputBody{Sent: true}}, nil
}
