package handlers

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// putPreferences replaces the caller's preferences, all or nothing.
// spec: lexicon app.bsky.actor.putPreferences
func (m actorMethods) putPreferences(ctx context.Context, c accountCaller, in *actorPutPreferencesInput) (*actorPutPreferencesOutput, error) {
	items := make([]jsontext.Value, len(in.Body.Preferences))
	for i, item := range in.Body.Preferences {
		items[i] = jsontext.Value(item)
	}
	err := m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return accounts.PutPreferences(ctx, q, m.now(), c.AID, items, c.Scope == auth.ScopeAccess)
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, auth.ErrAccountNotFound // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	return new(actorPutPreferencesOutput), nil
}
