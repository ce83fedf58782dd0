package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/go-json-experiment/json/jsontext"
)

// putPreferences replaces the caller's preferences, all or nothing.
// spec: lexicon app.bsky.actor.putPreferences
func (m actorMethods) putPreferences(ctx context.Context, c xrpc.AccountCaller, in *actorPutPreferencesInput) (*actorPutPreferencesOutput, error) {
	items := make([]jsontext.Value, len(in.Body.Preferences))
	for i, item := range in.Body.Preferences {
		items[i] = jsontext.Value(item)
	}
	if err := m.acts.SetPreferences(ctx, c.Tenant, owner(c), items); err != nil {
		return nil, err
	}
	return new(actorPutPreferencesOutput), nil
}
