package handlers

import (
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/proxy"
)

// actorMethods are what is served here of app.bsky.actor: preferences, whatever app view somebody uses.
type actorMethods struct {
	acts  *act.Acts
	db    *db.DB
	proxy *proxy.Proxy // nil: there is no app view
	now   func() time.Time
}

func (m actorMethods) register(g *xrpc.Group) {
	xrpc.Overseen(g, xrpc.Query("app.bsky.actor.getPreferences").Takes(auth.Std|auth.OrTakendown).Answers(rowsAnswer/4), m.mayReadPreferences, m.getPreferences, m.getPreferencesOf)
	xrpc.Account(g, xrpc.Procedure("app.bsky.actor.putPreferences").Takes(auth.Std|auth.NoTakedown), m.mayWritePreferences, m.putPreferences)
}

func (m actorMethods) mayReadPreferences(c xrpc.AccountCaller, _ *actorGetPreferencesInput) error {
	return granted(c.Account, scope.RPC(methodGetPreferences, m.view(c)))
}

func (m actorMethods) mayWritePreferences(c xrpc.AccountCaller, _ *actorPutPreferencesInput) error {
	return granted(c.Account, scope.RPC(methodPutPreferences, m.view(c)))
}

// view is the service whose preferences these are to clients: they ask for the scope of the app view, which this server
// answers for. Where there is none, only a scope of any service covers it.
func (m actorMethods) view(c xrpc.AccountCaller) string {
	if m.proxy != nil {
		if view, ok := m.proxy.AppView(c.Tenant); ok {
			return view.Reference()
		}
	}
	return "*"
}
