package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// resolveHandle finds the DID of a handle: of our own active accounts, or by DNS and HTTPS.
// spec: lexicon com.atproto.identity.resolveHandle
func (m identityMethods) resolveHandle(ctx context.Context, v xrpc.Visitor, in *identityResolveHandleInput) (*identityResolveHandleOutput, error) {
	handle := strings.ToLower(string(in.Handle))
	// The tenant that has a name now decides what it answers, whatever handles our accounts had once.
	owner, err := m.tenants.Answers(ctx, handle)
	if err != nil {
		return nil, err
	}
	a, err := account.Actor{}, account.ErrNotFound
	if owner == nil || owner.ID == v.Tenant.ID {
		a, err = m.actors.ByHandle(ctx, v.Tenant.Schema, handle, account.Fresh)
	}
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return nil, err
	}
	if err == nil && a.Active() {
		return &identityResolveHandleOutput{Body: identityResolveHandleOutputBody{DID: xrpc.DID(a.DID)}}, nil
	}
	if _, ours := account.HandlePolicy(v.Tenant).Hosted(handle); ours || err == nil {
		return nil, xrpc.Refuse(http.StatusBadRequest, "HandleNotFound", "Unable to resolve handle")
	}
	did, err := m.documents.ResolveHandle(ctx, v.Asker(), handle)
	var refused *xrpc.Error
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		m.log.Debug("resolve handle", "handle", handle, "err", err)
		return nil, xrpc.Invalid("Unable to resolve handle")
	}
	return &identityResolveHandleOutput{Body: identityResolveHandleOutputBody{DID: xrpc.DID(did)}}, nil
}
