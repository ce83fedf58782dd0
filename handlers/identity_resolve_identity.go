package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
)

// resolveIdentity finds DID, handle and document of a handle or DID. A handle that does not lead back is
// handle.invalid.
// spec: lexicon com.atproto.identity.resolveIdentity
func (m identityMethods) resolveIdentity(ctx context.Context, v xrpc.Visitor, in *identityResolveIdentityInput) (*identityResolveIdentityOutput, error) {
	info, err := m.identityOf(ctx, v, string(in.Identifier), m.documents.ResolveWhole)
	if err != nil {
		return nil, err
	}
	return &identityResolveIdentityOutput{Body: info}, nil
}

// identityOf resolves in both directions; resolve fetches the document.
func (m identityMethods) identityOf(ctx context.Context, v xrpc.Visitor, identifier string, resolve func(context.Context, identity.Asker, string) (*identity.Document, error)) (identityDefsIdentityInfo, error) {
	var none identityDefsIdentityInfo
	did, given := identifier, ""
	if !strings.HasPrefix(identifier, "did:") {
		given = strings.ToLower(identifier)
		var err error
		if did, err = m.handleDID(ctx, v, given); err != nil {
			return none, err
		}
	}
	doc, err := resolve(ctx, v.Asker(), did)
	if err != nil {
		return none, err
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return none, err
	}
	info := identityDefsIdentityInfo{DID: xrpc.DID(did), Handle: invalidHandle, DIDDoc: text}
	if named := doc.Handle(); named != "" {
		back := did
		if named != given { // else it led here just now
			if back, err = m.handleDID(ctx, v, named); err != nil && !errors.Is(err, identity.ErrHandleNotFound) {
				return none, err
			}
		}
		if err == nil && back == did {
			info.Handle = xrpc.Handle(named)
		}
	}
	return info, nil
}

// handleDID finds the DID of a handle: of our own active accounts, or over the network. Errors:
// [identity.ErrHandleNotFound].
func (m identityMethods) handleDID(ctx context.Context, v xrpc.Visitor, handle string) (string, error) {
	t := v.Tenant
	a, err := m.actors.ByHandle(ctx, t.Schema, handle, account.Fresh)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return "", err
	}
	if err == nil && a.Active() {
		return a.DID, nil
	}
	if _, ours := account.HandlePolicy(t).Hosted(handle); ours || err == nil {
		return "", fmt.Errorf("%s: %w", handle, identity.ErrHandleNotFound)
	}
	return m.documents.ResolveHandle(ctx, v.Asker(), handle)
}
