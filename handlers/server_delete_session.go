package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
)

// deleteSession signs out. Doing it twice, or with a token past its time, is no error.
// spec: lexicon com.atproto.server.deleteSession
func (m serverMethods) deleteSession(ctx context.Context, c refreshCaller, _ *serverDeleteSessionInput) (*serverDeleteSessionOutput, error) {
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return auth.Revoke(ctx, q, c.TokenID)
	})
	if err != nil {
		return nil, err
	}
	return &serverDeleteSessionOutput{}, nil
}
