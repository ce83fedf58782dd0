package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// createInviteCode makes one code.
// spec: lexicon com.atproto.server.createInviteCode
func (m serverMethods) createInviteCode(ctx context.Context, c operatorCaller, in *serverCreateInviteCodeInput) (*serverCreateInviteCodeOutput, error) {
	code := accounts.NewInviteCode(c.Tenant.Hostname)
	owner := accounts.InviteAdmin
	if in.Body.ForAccount != "" {
		owner = string(in.Body.ForAccount)
	}
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := accounts.InsertInvite(ctx, q, m.now(), code, int(in.Body.UseCount), owner, c.Name); err != nil {
			return err
		}
		return c.record(ctx, q, owner, map[string]any{"codes": 1, "uses": in.Body.UseCount})
	})
	if err != nil {
		return nil, err
	}
	return &serverCreateInviteCodeOutput{Body: serverCreateInviteCodeOutputBody{Code: code}}, nil
}
