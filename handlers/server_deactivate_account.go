package handlers

import (
	"context"
	"time"

	"github.com/bluesky-social/indigo/atproto/syntax"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// deactivateAccount hides the account, until it is activated or, if a date is given, deleted. A date that is new, or
// earlier than the one before, is told by mail: a session alone is enough to set it.
// spec: lexicon com.atproto.server.deactivateAccount
func (m serverMethods) deactivateAccount(ctx context.Context, c accountCaller, in *serverDeactivateAccountInput) (*serverDeactivateAccountOutput, error) {
	var deleteAfter *time.Time
	if in.Body.DeleteAfter != "" {
		at, err := syntax.ParseDatetimeTime(string(in.Body.DeleteAfter))
		if err != nil {
			return nil, invalid("deleteAfter must be a datetime")
		}
		deleteAfter = &at
	}
	err := m.acts.Publish(ctx, c.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		before, err := q.LockActor(ctx, c.AID)
		if err != nil && !db.IsNoRows(err) {
			return nil, err
		}
		events, err := accounts.Deactivate(ctx, q, m.now(), c.AID, deleteAfter)
		if err != nil || deleteAfter == nil {
			return events, err
		}
		at := accounts.Held(*deleteAfter, m.now())
		if before.DeleteAfter == nil || at.Before(*before.DeleteAfter) {
			err = m.mail.tellDeletion(ctx, q, c, at)
		}
		return events, err
	})
	m.actors.Forget(c.Tenant.Schema, c.DID)
	if err != nil {
		return nil, goneAccount(err)
	}
	m.mail.outbox.Wake(c.Tenant)
	return &serverDeactivateAccountOutput{}, nil
}
