package act

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

var (
	// ErrNoDeletionDate: the account is not going to be deleted.
	ErrNoDeletionDate = errors.New("the account has no date of deletion")
	// ErrArriving: the account is moving here, and goes by itself unless its owner activates it.
	ErrArriving = errors.New("the account is moving here and was never activated: its owner activates it, and that ends the date")
)

// KeepAccount takes the date away at which a deactivated account was to be deleted. It stays deactivated, and its owner can
// come back whenever they like, or it is activated at once. Errors: [accounts.ErrNotFound], [ErrNoDeletionDate],
// [ErrArriving], [ErrGone] for activating what is taken down.
func (a *Acts) KeepAccount(ctx context.Context, t *tenant.Tenant, by Operator, did string, activate bool) error {
	who, err := a.find(ctx, t, did)
	if err != nil {
		return err
	}
	now := a.Now()
	_, err = a.Hub.Publish(ctx, a.DB.Tenant(t.Schema), func(q *tenantdb.Queries) ([]firehose.Event, error) {
		// The row is held: the sweep may be about to delete the account, or its owner to activate it.
		before, err := q.LockActor(ctx, who.AID)
		switch {
		case db.IsNoRows(err):
			return nil, accounts.ErrNotFound
		case err != nil:
			return nil, err
		case before.DeleteAfter == nil || before.DeactivatedAt == nil:
			return nil, ErrNoDeletionDate
		case before.Unannounced:
			return nil, ErrArriving
		}
		var events []firehose.Event
		if activate {
			events, err = accounts.Activate(ctx, q, now, who.AID)
			err = Gone(err) // so it is called when the account is taken down
		} else {
			events, err = accounts.Deactivate(ctx, q, now, who.AID, nil)
		}
		if err != nil {
			return nil, err
		}
		detail := map[string]any{"deactivated": Mark{Applied: !activate}, "deleteAfter": map[string]any{"from": before.DeleteAfter.UTC(), "to": nil}}
		return events, a.record(ctx, q, by, actStatus, deed{did, detail})
	})
	a.Actors.Forget(t.Schema, did)
	return err
}
