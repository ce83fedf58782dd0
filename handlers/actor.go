package handlers

import (
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
)

// actorMethods are what is served here of app.bsky.actor: preferences, whatever app view somebody uses.
type actorMethods struct {
	acts *act.Acts
	db   *db.DB
	now  func() time.Time
}

func (m actorMethods) register(g *xrpc.Group) {
	xrpc.Overseen(g, xrpc.Query("app.bsky.actor.getPreferences").Takes(auth.Std|auth.OrTakendown).Answers(rowsAnswer/4), mayReadPreferences, m.getPreferences, m.getPreferencesOf)
	xrpc.Account(g, xrpc.Procedure("app.bsky.actor.putPreferences").Takes(auth.Std|auth.NoTakedown), mayWritePreferences, m.putPreferences)
}

// mayReadPreferences and mayWritePreferences are where an OAuth token's rpc scopes are asked for; sessions may.
func mayReadPreferences(xrpc.AccountCaller, *actorGetPreferencesInput) error  { return nil }
func mayWritePreferences(xrpc.AccountCaller, *actorPutPreferencesInput) error { return nil }
