package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// getSession tells the caller who it is; an app by OAuth the address only where it may read it.
// spec: lexicon com.atproto.server.getSession
func (m serverMethods) getSession(ctx context.Context, c xrpc.AccountCaller, _ *serverGetSessionInput) (*serverGetSessionOutput, error) {
	a, err := account.ByDID(ctx, m.db.Tenant(c.Tenant.Schema).Q(), c.DID)
	if errors.Is(err, account.ErrNotFound) {
		return nil, auth.ErrAccountNotFound
	}
	if err != nil {
		return nil, err
	}
	if a.TakenDown {
		return nil, auth.ErrAccountTakedown
	}
	info := m.sessionInfo(ctx, c.Tenant, a)
	out := serverGetSessionOutputBody{DID: xrpc.DID(a.DID), Handle: info.Handle, DIDDoc: info.DIDDoc, Active: &info.Active, Status: info.Status}
	if c.Covers(scope.Account("email", false)) {
		out.Email, out.EmailConfirmed, out.EmailAuthFactor = a.Email, &a.EmailConfirmed, &a.EmailFactor
	}
	return &serverGetSessionOutput{Body: out}, nil
}
