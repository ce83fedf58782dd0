package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// requestEmailUpdate says whether updateEmail wants a token, and mails it to the present address if so: an address that
// was never confirmed protects nothing.
// spec: lexicon com.atproto.server.requestEmailUpdate
func (m serverMethods) requestEmailUpdate(ctx context.Context, c xrpc.AccountCaller, _ *serverRequestEmailUpdateInput) (*serverRequestEmailUpdateOutput, error) {
	wanted, err := m.acts.RequestEmailChange(ctx, c.Tenant, owner(c))
	if err != nil {
		return nil, err
	}
	return &serverRequestEmailUpdateOutput{Body: serverRequestEmailUpdateOutputBody{TokenRequired: wanted}}, nil
}
