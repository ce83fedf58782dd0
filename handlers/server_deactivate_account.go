package handlers

import (
	"context"
	"time"

	"github.com/bluesky-social/indigo/atproto/syntax"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
)

// deactivateAccount hides the account, until it is activated or, if a date is given, deleted.
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
	err := m.publish(ctx, c.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return accounts.Deactivate(ctx, q, m.now(), c.AID, deleteAfter)
	})
	m.actors.Forget(c.Tenant.Schema, c.DID)
	if err != nil {
		return nil, goneAccount(err)
	}
	return &serverDeactivateAccountOutput{}, nil
}
