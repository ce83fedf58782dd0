package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"

	accounts "github.com/auroralocus/locus/internal/account"
)

// resolveHandle finds the DID of a handle: of our own active accounts, or by DNS and HTTPS.
// spec: lexicon com.atproto.identity.resolveHandle
func (m identityMethods) resolveHandle(ctx context.Context, v visitor, in *identityResolveHandleInput) (*identityResolveHandleOutput, error) {
	handle := strings.ToLower(string(in.Handle))
	// Who has a name now decides what it answers, whatever our accounts were called once.
	owner, err := m.tenants.Answers(ctx, handle)
	if err != nil {
		return nil, err
	}
	a, err := accounts.Actor{}, accounts.ErrNotFound
	if owner == nil || owner.ID == v.Tenant.ID {
		a, err = m.actors.ByHandle(ctx, v.Tenant.Schema, handle, accounts.Fresh)
	}
	if err != nil && !errors.Is(err, accounts.ErrNotFound) {
		return nil, err
	}
	if err == nil && a.Active() {
		return &identityResolveHandleOutput{Body: identityResolveHandleOutputBody{DID: DID(a.DID)}}, nil
	}
	if _, ours := accounts.HandlePolicy(v.Tenant).Hosted(handle); ours || err == nil {
		return nil, refuse(http.StatusBadRequest, "HandleNotFound", "Unable to resolve handle")
	}
	did, err := m.documents.ResolveHandle(ctx, v.asker(), handle)
	var refused *Error
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		m.log.Debug("resolve handle", "handle", handle, "err", err)
		return nil, invalid("Unable to resolve handle")
	}
	return &identityResolveHandleOutput{Body: identityResolveHandleOutputBody{DID: DID(did)}}, nil
}
