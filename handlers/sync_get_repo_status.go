package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// getRepoStatus tells whether a repository is active, and why not. Relays revive or silence accounts by it, so it
// answers for inactive ones too.
// spec: lexicon com.atproto.sync.getRepoStatus
func (m syncMethods) getRepoStatus(ctx context.Context, v xrpc.Visitor, in *syncGetRepoStatusInput) (*syncGetRepoStatusOutput, error) {
	a, err := m.find(ctx, v.Tenant, in.DID)
	if err != nil {
		return nil, err
	}
	st, err := m.repos.Head(ctx, v.Tenant.Schema, a.AID)
	if err != nil {
		return nil, err
	}
	out := new(syncGetRepoStatusOutput)
	out.Body.DID, out.Body.Status = in.DID, statusOf(v.Tenant, st.Takendown, st.Deactivated)
	if out.Body.Active = out.Body.Status == ""; out.Body.Active {
		out.Body.Rev = xrpc.TID(st.Head.Rev.String())
	}
	return out, nil
}

// statusOf is why an account is not active; "" when it is. What became of the tenant is told by the events of its
// accounts, so it is here, too. A takedown outranks the account's own wish.
func statusOf(t *tenant.Tenant, takendown, deactivated bool) string {
	switch {
	case t.State == tenant.Deleting:
		return firehose.StatusDeleted
	case takendown:
		return "takendown"
	case t.State == tenant.Suspended:
		return firehose.StatusSuspended
	case deactivated:
		return "deactivated"
	}
	return ""
}
