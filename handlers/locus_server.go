package handlers

import (
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

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

func (m locusServerMethods) register(g *xrpc.Group) {
	const own = auth.Full | auth.NoTakedown
	xrpc.Account(g, xrpc.Query("org.auroralocus.server.getSecondFactor").Takes(own), noOAuth, m.getSecondFactor)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.beginAuthenticator").Takes(own).Noting("main password and code"), noOAuth, m.beginAuthenticator)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.confirmAuthenticator").Takes(own).Noting("code of the new app"), noOAuth, m.confirmAuthenticator)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.disableAuthenticator").Takes(own).Noting("main password and code"), noOAuth, m.disableAuthenticator)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.createBackupCodes").Takes(own).Noting("main password and code"), noOAuth, m.createBackupCodes)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.confirmSession").Takes(own).Noting("main password and code"), noOAuth, m.confirmSession)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.setEmailFactor").Takes(own).Noting("main password and code"), noOAuth, m.setEmailFactor)
	xrpc.Account(g, xrpc.Query("org.auroralocus.server.listPasskeys").Takes(own), noOAuth, m.listPasskeys)
	xrpc.Account(g, xrpc.Procedure("org.auroralocus.server.deletePasskey").Takes(own).Noting("main password and code"), noOAuth, m.deletePasskey)
	xrpc.Account(g, xrpc.Query("org.auroralocus.server.getUsage").Takes(auth.Std), anyOAuth, m.getUsage)
}
