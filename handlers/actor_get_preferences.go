package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

// getPreferences gives the caller's preferences; personal details with the main password only.
// spec: lexicon app.bsky.actor.getPreferences
func (m actorMethods) getPreferences(ctx context.Context, c xrpc.AccountCaller, _ *actorGetPreferencesInput) (*actorGetPreferencesOutput, error) {
	return m.preferences(ctx, c.Tenant, c.AID, c.Scope == auth.ScopeAccess)
}

// getPreferencesOf gives the moderation service an account's preferences as an app would get them. It asks with ?did=,
// which no lexicon has.
func (m actorMethods) getPreferencesOf(ctx context.Context, c xrpc.ModeratorCaller, _ *actorGetPreferencesInput) (*actorGetPreferencesOutput, error) {
	return m.preferences(ctx, c.Tenant, c.About.AID, false)
}

func (m actorMethods) preferences(ctx context.Context, t *tenant.Tenant, aid int64, whole bool) (*actorGetPreferencesOutput, error) {
	items, err := account.Preferences(ctx, m.db.Tenant(t.Schema).Q(), m.now(), aid, whole)
	if err != nil {
		return nil, err
	}
	out := &actorGetPreferencesOutput{Body: actorGetPreferencesOutputBody{Preferences: make([]xrpc.RawJSON, len(items))}}
	for i, item := range items {
		out.Body.Preferences[i] = xrpc.RawJSON(item)
	}
	return out, nil
}
