package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
)

// sendEmail queues a message to an account.
// spec: lexicon com.atproto.admin.sendEmail
func (m adminMethods) sendEmail(ctx context.Context, c xrpc.OperatorCaller, in *adminSendEmailInput) (*adminSendEmailOutput, error) {
	b := &in.Body
	message := act.Message{Subject: b.Subject, Text: b.Content, SenderDID: string(b.SenderDid), Comment: b.Comment}
	if err := m.acts.Write(ctx, c.Tenant, by(c), string(b.RecipientDid), message); err != nil {
		return nil, err
	}
	return &adminSendEmailOutput{Body: adminSendEmailOutputBody{Sent: true}}, nil
}
