package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// revokeAppPassword deletes an app password and ends its sessions. One that is not there is no error.
// spec: lexicon com.atproto.server.revokeAppPassword
func (m serverMethods) revokeAppPassword(ctx context.Context, c accountCaller, in *serverRevokeAppPasswordInput) (*serverRevokeAppPasswordOutput, error) {
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return accounts.RevokeAppPassword(ctx, q, m.now(), c.AID, in.Body.Name)
	})
	if err != nil {
		return nil, err
	}
	m.actors.Forget(c.Tenant.Schema, c.DID)
	return &serverRevokeAppPasswordOutput{}, nil
}
