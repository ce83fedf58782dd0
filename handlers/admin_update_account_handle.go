package handlers

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
)

// updateAccountHandle gives an account another handle, a reserved one too: in the DID document first, then here.
// spec: lexicon com.atproto.admin.updateAccountHandle
func (m adminMethods) updateAccountHandle(ctx context.Context, c operatorCaller, in *adminUpdateAccountHandleInput) (*adminUpdateAccountHandleOutput, error) {
	handle, kind, err := accounts.HandlePolicy(c.Tenant).Check(string(in.Body.Handle), true)
	if err != nil {
		return nil, err
	}
	a, err := m.account(ctx, c, string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	if err := accounts.NotAwaiting(ctx, m.db.Tenant(c.Tenant.Schema).Q(), a.AID); err != nil {
		return nil, err // its DID document is not there yet, or not ours to change
	}
	if kind == identity.HandleExternal {
		if did, err := m.identity.documents.ResolveHandle(ctx, handle); err != nil || did != a.DID {
			return nil, invalid("External handle did not resolve to DID")
		}
	}
	err = m.identity.changeHandle(ctx, c.Tenant, a.AID, a.DID, a.Handle, handle, func(ctx context.Context, q *tenantdb.Queries) error {
		return c.record(ctx, q, a.DID, map[string]any{"from": a.Handle, "to": handle})
	})
	if err != nil {
		return nil, err
	}
	return new(adminUpdateAccountHandleOutput), nil
}
