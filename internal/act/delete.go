package act

import (
	"context"
	"errors"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

const actDelete = "com.atproto.admin.deleteAccount"

// DeleteAccount deletes an account for good. One whose sign-up waits for approval is thereby rejected.
// Errors: [accounts.ErrNotFound], [accounts.ErrDeciding].
func (a *Acts) DeleteAccount(ctx context.Context, t *tenant.Tenant, by Operator, did string) error {
	who, err := a.find(ctx, t, did)
	if err != nil {
		return err
	}
	err = accounts.NotAwaiting(ctx, a.DB.Tenant(t.Schema).Q(), who.AID)
	if errors.Is(err, accounts.ErrAwaiting) {
		return a.reject(ctx, t, by, who, "")
	}
	if err != nil {
		return err
	}
	err = a.change(ctx, t, by, actDelete, deed{who.DID, map[string]any{"handle": who.Handle}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return accounts.Delete(ctx, q, a.Now(), who.AID)
	})
	if err == nil {
		a.forget(ctx, t, who.AID, who.DID)
	}
	return err
}

// RequestDeletion mails the token that [Acts.DeleteOwnAccount] wants beside the password. Errors: [accounts.ErrNoEmail],
// [auth.ErrAccountNotFound].
func (a *Acts) RequestDeletion(ctx context.Context, t *tenant.Tenant, by Owner) error {
	return a.mailOwner(ctx, t, by, accounts.TokenDeleteAccount)
}

// DeleteOwnAccount deletes an account for good, by its main password and a mailed token. No session is needed, so
// accounts that are taken down can be deleted, too. Errors: [WaitError], [accounts.ErrCredentials],
// [accounts.ErrPasswordTooLong], [accounts.ErrBusy], [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired].
func (a *Acts) DeleteOwnAccount(ctx context.Context, t *tenant.Tenant, v Visitor, did, password, token string) error {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	try, err := a.enter(ctx, t, v, did)
	if err != nil {
		return err
	}
	who, err := a.Passwords.Authenticate(ctx, v.From, a.DB.Tenant(t.Schema).Q(), did, password)
	if err := try.leave(ctx, err); err != nil {
		return err
	}
	err = a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := a.useToken(ctx, q, secrets, who.AID, accounts.TokenDeleteAccount, token); err != nil {
			return nil, err
		}
		return accounts.Delete(ctx, q, a.Now(), who.AID)
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return accounts.ErrCredentials // another request was first
	}
	if err == nil {
		a.forget(ctx, t, who.AID, who.DID)
	}
	return err
}

// purgeTime is how long an act works at removing the bulk of a repository; a job does the rest.
const purgeTime = 10 * time.Second

// forget clears away what is left of a deleted account, here and in the database. What fails is done by a job.
func (a *Acts) forget(ctx context.Context, t *tenant.Tenant, aid int64, did string) {
	a.Actors.Forget(t.Schema, did)
	a.Keys.Forget(t.Schema.String(), aid)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), purgeTime)
	defer cancel()
	if err := a.Repos.Forget(ctx, t.Schema, aid); err != nil {
		a.Log.WarnContext(ctx, "deleted account stays in memory", "did", did, "err", err)
	}
	for done := false; !done; {
		err := a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
			done, err = accounts.Purge(ctx, q, aid)
			return err
		})
		if err != nil {
			a.Log.Info("a job goes on with the purge of a deleted account", "did", did, "err", err)
			return
		}
	}
}
