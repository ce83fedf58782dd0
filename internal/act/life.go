package act

import (
	"context"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// Activate shows an account again, or for the first time when it moved here: its DID document must lead here by then.
// Our rotation key need not be among the DID's. Errors: [ErrGone], [accounts.ErrAwaiting], [accounts.ErrDIDDocument],
// those of resolving the DID.
func (a *Acts) Activate(ctx context.Context, t *tenant.Tenant, by Owner) error {
	key, err := accounts.Signer(ctx, a.DB.Tenant(t.Schema).Q(), a.Keys, t.Schema, by.AID)
	if err != nil {
		return Gone(err)
	}
	doc, err := a.Documents.Refresh(ctx, asker(t), by.DID)
	if err != nil {
		return err
	}
	if err := accounts.CheckDocument(doc, t, key.PublicDIDKey()); err != nil {
		return err
	}
	err = a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := accounts.NotAwaiting(ctx, q, by.AID); err != nil {
			return nil, err
		}
		before, err := q.LockActor(ctx, by.AID)
		if err != nil && !db.IsNoRows(err) {
			return nil, err
		}
		events, err := accounts.Activate(ctx, q, a.Now(), by.AID)
		if err != nil || before.DeactivatedAt == nil || before.Unannounced {
			return events, err
		}
		return events, a.told(ctx, q, t, by, mail.Note{Kind: mail.KindActivated})
	})
	a.Actors.Forget(t.Schema, by.DID)
	if err == nil {
		a.Outbox.Wake(t)
	}
	return Gone(err)
}

// Deactivate hides an account, until it is activated or, if a date is given, deleted. A date that is new, or earlier
// than the one before, is told by mail: a session alone is enough to set it. When an app does it, everything that apps
// have of the account goes: it may be somebody else's by now, and the owner comes back with the password.
// Errors: [ErrGone].
func (a *Acts) Deactivate(ctx context.Context, t *tenant.Tenant, by Owner, deleteAfter *time.Time) error {
	err := a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		before, err := q.LockActor(ctx, by.AID)
		if err != nil && !db.IsNoRows(err) {
			return nil, err
		}
		events, err := accounts.Deactivate(ctx, q, a.Now(), by.AID, deleteAfter)
		if err == nil && by.OAuth != nil {
			err = dropApps(ctx, q, a.Now(), by.AID)
		}
		if err != nil {
			return events, err
		}
		if deleteAfter == nil {
			if before.DeactivatedAt != nil || before.Unannounced {
				return events, nil // nothing that anybody sees has changed
			}
			return events, a.told(ctx, q, t, by, mail.Note{Kind: mail.KindDeactivated})
		}
		at := accounts.Held(*deleteAfter, a.Now())
		if before.DeleteAfter == nil || at.Before(*before.DeleteAfter) {
			err = a.tellDeletion(ctx, q, t, by, at)
		}
		return events, err
	})
	a.Actors.Forget(t.Schema, by.DID)
	if err == nil {
		a.Outbox.Wake(t)
	}
	return Gone(err)
}

// dropApps takes from apps all that they have of an account: what was granted to them, and app passwords with their
// sessions.
func dropApps(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) error {
	if _, err := endApps(ctx, q, aid); err != nil {
		return err
	}
	all, err := accounts.ListAppPasswords(ctx, q, aid)
	if err != nil {
		return err
	}
	for _, p := range all {
		if _, err := accounts.RevokeAppPassword(ctx, q, now, aid, p.Name); err != nil {
			return err
		}
	}
	return nil
}

// tellDeletion tells that an account is going to be deleted, inside the transaction that sets the date.
func (a *Acts) tellDeletion(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, by Owner, at time.Time) error {
	return a.told(ctx, q, t, by, mail.Note{Kind: mail.KindDeletionSet, Date: at.UTC().Format("2006-01-02 15:04 UTC")})
}
