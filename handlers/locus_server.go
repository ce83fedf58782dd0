package handlers

import (
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
)

// locusServerMethods are org.auroralocus.server.*: what an account does here that com.atproto has no methods for.
type locusServerMethods struct {
	acts *act.Acts
	db   *db.DB
	now  func() time.Time
}

func (m locusServerMethods) register(g *group) {
	const own = auth.Full | auth.NoTakedown
	account(g, query("org.auroralocus.server.getSecondFactor").takes(own), noOAuth, m.getSecondFactor)
	account(g, procedure("org.auroralocus.server.beginAuthenticator").takes(own).noting("main password and code"), noOAuth, m.beginAuthenticator)
	account(g, procedure("org.auroralocus.server.confirmAuthenticator").takes(own).noting("code of the new app"), noOAuth, m.confirmAuthenticator)
	account(g, procedure("org.auroralocus.server.disableAuthenticator").takes(own).noting("main password and code"), noOAuth, m.disableAuthenticator)
	account(g, procedure("org.auroralocus.server.createBackupCodes").takes(own).noting("main password and code"), noOAuth, m.createBackupCodes)
	account(g, procedure("org.auroralocus.server.confirmSession").takes(own).noting("main password and code"), noOAuth, m.confirmSession)
	account(g, procedure("org.auroralocus.server.setEmailFactor").takes(own).noting("main password and code"), noOAuth, m.setEmailFactor)
	account(g, query("org.auroralocus.server.getUsage").takes(auth.Std), anyOAuth, m.getUsage)
}
