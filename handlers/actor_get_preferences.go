package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

// getPreferences gives the caller's preferences; personal details with the main password only. The moderation service
// asks with ?did=, which no lexicon has, and gets them as an app would.
// spec: lexicon app.bsky.actor.getPreferences
func (m actorMethods) getPreferences(ctx context.Context, c accountCaller, _ *actorGetPreferencesInput) (*actorGetPreferencesOutput, error) {
	items, err := accounts.Preferences(ctx, m.db.Tenant(c.Tenant.Schema).Q(), m.now(), c.AID, c.Scope == auth.ScopeAccess)
	if err != nil {
		return nil, err
	}
	out := &actorGetPreferencesOutput{Body: actorGetPreferencesOutputBody{Preferences: make([]RawJSON, len(items))}}
	for i, item := range items {
		out.Body.Preferences[i] = RawJSON(item)
	}
	return out, nil
}
