package handlers

import (
	"time"

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

func (m actorMethods) register(g *group) {
	overseen(g, query("app.bsky.actor.getPreferences").takes(auth.Std|auth.OrTakendown).answers(rowsAnswer/4), mayReadPreferences, m.getPreferences, m.getPreferencesOf)
	account(g, procedure("app.bsky.actor.putPreferences").takes(auth.Std|auth.NoTakedown), mayWritePreferences, m.putPreferences)
}

// mayReadPreferences and mayWritePreferences are where an OAuth token's rpc scopes are asked for; sessions may.
func mayReadPreferences(accountCaller, *actorGetPreferencesInput) error  { return nil }
func mayWritePreferences(accountCaller, *actorPutPreferencesInput) error { return nil }
