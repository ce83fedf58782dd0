package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// getSession tells the caller who it is.
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
	return &serverGetSessionOutput{Body: serverGetSessionOutputBody{
		DID: xrpc.DID(a.DID), Handle: info.Handle, DIDDoc: info.DIDDoc,
		Email: a.Email, EmailConfirmed: &a.EmailConfirmed, EmailAuthFactor: &a.EmailFactor, Active: &info.Active, Status: info.Status,
	}}, nil
}
