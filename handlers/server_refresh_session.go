package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// refreshSession rotates: the token given is good for two more hours, in which it always gives the same next one.
// spec: lexicon com.atproto.server.refreshSession
func (m serverMethods) refreshSession(ctx context.Context, c refreshCaller, _ *serverRefreshSessionInput) (*serverRefreshSessionOutput, error) {
	secrets, err := m.sessions.Secrets(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	fresh := m.sessions.NewRefresh()
	var next auth.Rotated
	var a *accounts.Account
	var epochs accounts.Epochs
	scope := auth.ScopeAccess
	rotate := func() error {
		return m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
			if epochs, err = auth.Hold(ctx, q, c.DID); err != nil {
				return err
			}
			if a, err = accounts.ByDID(ctx, q, c.DID); errors.Is(err, accounts.ErrNotFound) {
				return auth.ErrAccountNotFound
			}
			if err == nil && a.TakenDown {
				return auth.ErrAccountTakedown // said before anything of the token: its row went with the takedown
			}
			if err == nil {
				next, err = auth.Rotate(ctx, q, m.now(), c.TokenID, fresh)
			}
			if err == nil && next.AppPassword == nil {
				scope, err = m.fullScope(ctx, q, a)
			}
			if err != nil || next.AppPassword == nil {
				return err
			}
			app, err := accounts.SeeAppPassword(ctx, q, m.now(), next.AID, *next.AppPassword)
			if errors.Is(err, accounts.ErrNotFound) {
				return auth.ErrRevoked
			}
			scope = appScope(&app)
			next.Next = next.Next.Until(app.ExpiresAt)
			return err
		})
	}
	err = rotate()
	if errors.Is(err, db.ErrUnknownOutcome) {
		// If it did happen, the grace gives the same next token, which has to be durable before it is given out.
		if err = rotate(); err == nil {
			err = m.db.Tenant(c.Tenant.Schema).Confirm(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if next.AID != a.AID { // the row is the truth; a token never changes hands
		return nil, auth.ErrRevoked
	}
	pair, err := m.sessions.Mint(c.Tenant, secrets, scope, a.DID, epochs, next.Next)
	if err != nil {
		return nil, err
	}
	info := m.sessionInfo(ctx, c.Tenant, a)
	return &serverRefreshSessionOutput{Body: serverRefreshSessionOutputBody{
		AccessJwt: pair.Access, RefreshJwt: pair.Refresh,
		DID: DID(a.DID), Handle: info.Handle, DIDDoc: info.DIDDoc,
		Email: a.Email, EmailConfirmed: &a.EmailConfirmed, EmailAuthFactor: &a.EmailFactor, Active: &info.Active, Status: info.Status,
	}}, nil
}
