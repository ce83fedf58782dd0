package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
)

// resetPassword sets a new password by a mailed token and ends all sessions, those of app passwords too.
// spec: lexicon com.atproto.server.resetPassword
func (m serverMethods) resetPassword(ctx context.Context, v visitor, in *serverResetPasswordInput) (*serverResetPasswordOutput, error) {
	if err := accounts.CheckNewPassword(&v.Tenant.Settings, in.Body.Password); err != nil {
		return nil, err
	}
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	t := m.db.Tenant(v.Tenant.Schema)
	// A look first: strangers' guesses cost no hash.
	aid, err := accounts.TokenOwner(ctx, t.Q(), secrets.Typed(), m.now(), accounts.TokenResetPassword, in.Body.Token)
	if err != nil {
		return nil, err
	}
	hash, err := m.passwords.Hash(ctx, v.path(), in.Body.Password)
	if err != nil {
		return nil, err
	}
	var did string
	err = t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if err := m.mail.use(ctx, q, secrets, aid, accounts.TokenResetPassword, in.Body.Token); err != nil {
			return err
		}
		did, err = accounts.SetPassword(ctx, q, aid, hash)
		return err
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, accounts.ErrTokenInvalid
	}
	if err != nil {
		return nil, err
	}
	m.actors.Forget(v.Tenant.Schema, did) // the access tokens that are out are dead
	return &serverResetPasswordOutput{}, nil
}
