package handlers

import (
	"log/slog"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo/repodb"
)

// serverMethods are com.atproto.server.*: accounts and their sessions.
type serverMethods struct {
	acts      *act.Acts
	db        *db.DB
	keys      *keyring.Keyring
	documents *identity.Resolver
	repos     *repodb.Store
	now       func() time.Time
	log       *slog.Logger
}

func (m serverMethods) register(g *xrpc.Group) {
	xrpc.Newcomer(g, xrpc.Procedure("com.atproto.server.createAccount"), bringsDID, m.createAccount, m.createMovedAccount)
	xrpc.Public(g, xrpc.Procedure("com.atproto.server.createSession"), m.createSession)
	xrpc.Refresh(g, xrpc.Procedure("com.atproto.server.refreshSession"), m.refreshSession)
	xrpc.Refresh(g, xrpc.Procedure("com.atproto.server.deleteSession").Expired(), m.deleteSession)
	xrpc.Account(g, xrpc.Query("com.atproto.server.getSession").Takes(auth.Std|auth.OrQueued), anyOAuth, m.getSession)
	xrpc.Account(g, xrpc.Query("com.atproto.server.getServiceAuth").Takes(auth.Std|auth.OrTakendown), mayCallServices, m.getServiceAuth)
	xrpc.Public(g, xrpc.Procedure("com.atproto.server.reserveSigningKey"), m.reserveSigningKey)
	xrpc.Public(g, xrpc.Query("com.atproto.server.describeServer"), m.describeServer)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.activateAccount").Takes(auth.Full), noOAuth, m.activateAccount)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.deactivateAccount").Takes(auth.Full|auth.OrTakendown), mayDeactivate, m.deactivateAccount)
	xrpc.Account(g, xrpc.Query("com.atproto.server.checkAccountStatus").Takes(auth.Std), anyOAuth, m.checkAccountStatus)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.requestAccountDelete").Takes(auth.Full|auth.NoTakedown), noOAuth, m.requestAccountDelete)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.requestEmailConfirmation").Takes(auth.Std|auth.NoTakedown), mayManageEmail[serverRequestEmailConfirmationInput], m.requestEmailConfirmation)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.confirmEmail").Takes(auth.Std|auth.NoTakedown), mayManageEmail[serverConfirmEmailInput], m.confirmEmail)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.requestEmailUpdate").Takes(auth.Full|auth.NoTakedown), noOAuth, m.requestEmailUpdate)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.updateEmail").Takes(auth.Full|auth.NoTakedown), noOAuth, m.updateEmail)
	xrpc.Public(g, xrpc.Procedure("com.atproto.server.requestPasswordReset"), m.requestPasswordReset)
	xrpc.Public(g, xrpc.Procedure("com.atproto.server.resetPassword").Noting("mailed token"), m.resetPassword)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.createAppPassword").Takes(auth.Full|auth.NoTakedown), noOAuth, m.createAppPassword)
	xrpc.Account(g, xrpc.Query("com.atproto.server.listAppPasswords").Takes(auth.Std), noOAuth, m.listAppPasswords)
	xrpc.Account(g, xrpc.Procedure("com.atproto.server.revokeAppPassword").Takes(auth.Std), noOAuth, m.revokeAppPassword)
	xrpc.Public(g, xrpc.Procedure("com.atproto.server.deleteAccount").Noting("main password and mailed token"), m.deleteAccount)
	xrpc.Account(g, xrpc.Query("com.atproto.server.getAccountInviteCodes").Takes(auth.Full|auth.NoTakedown), noOAuth, m.getAccountInviteCodes)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.server.createInviteCode"), auth.RoleAdmin, m.createInviteCode)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.server.createInviteCodes"), auth.RoleAdmin, m.createInviteCodes)
}
