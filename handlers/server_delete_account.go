package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

// deleteAccount deletes an account for good, by its main password and a mailed token. Accounts that are taken down may
// be deleted too.
// spec: lexicon com.atproto.server.deleteAccount
func (m serverMethods) deleteAccount(ctx context.Context, v visitor, in *serverDeleteAccountInput) (*serverDeleteAccountOutput, error) {
	wrong := refuse(http.StatusUnauthorized, "", "Invalid did or password")
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	attempt, err := m.guard.enter(ctx, v, string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	a, err := m.passwords.Authenticate(ctx, m.db.Tenant(v.Tenant.Schema).Q(), string(in.Body.DID), in.Body.Password)
	err = attempt.leave(ctx, err)
	if errors.Is(err, accounts.ErrCredentials) {
		return nil, wrong
	}
	if err != nil {
		return nil, err
	}
	err = m.publish(ctx, v.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := m.mail.use(ctx, q, secrets, a.AID, accounts.TokenDeleteAccount, in.Body.Token); err != nil {
			return nil, err
		}
		return accounts.Delete(ctx, q, m.now(), a.AID)
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, wrong // another request was first
	}
	if err != nil {
		return nil, err
	}
	m.forget(ctx, v.Tenant, a.AID, a.DID)
	return &serverDeleteAccountOutput{}, nil
}

// purgeTime is how long a request works at removing the bulk of a repository; a job does the rest.
const purgeTime = 10 * time.Second

// forget clears away what is left of a deleted account, here and in the database. What fails is done by a job.
func (m serverMethods) forget(ctx context.Context, t *tenant.Tenant, aid int64, did string) {
	m.actors.Forget(t.Schema, did)
	m.keys.Forget(t.Schema.String(), aid)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), purgeTime)
	defer cancel()
	if err := m.repos.Forget(ctx, t.Schema, aid); err != nil {
		m.log.Warn("deleted account stays in memory", "did", did, "err", err)
	}
	for done := false; !done; {
		err := m.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
			done, err = accounts.Purge(ctx, q, aid)
			return err
		})
		if err != nil {
			m.log.Info("a job goes on with the purge of a deleted account", "did", did, "err", err)
			return
		}
	}
}
