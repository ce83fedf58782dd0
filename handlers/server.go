package handlers

import (
	"log/slog"
	"time"

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

func (m serverMethods) register(g *group) {
	newcomer(g, procedure("com.atproto.server.createAccount"), bringsDID, m.createAccount, m.createMovedAccount)
	public(g, procedure("com.atproto.server.createSession"), m.createSession)
	refresh(g, procedure("com.atproto.server.refreshSession"), m.refreshSession)
	refresh(g, procedure("com.atproto.server.deleteSession").expired(), m.deleteSession)
	account(g, query("com.atproto.server.getSession").takes(auth.Std|auth.OrQueued), anyOAuth, m.getSession)
	account(g, query("com.atproto.server.getServiceAuth").takes(auth.Std|auth.OrTakendown), mayCallServices, m.getServiceAuth)
	public(g, procedure("com.atproto.server.reserveSigningKey"), m.reserveSigningKey)
	public(g, query("com.atproto.server.describeServer"), m.describeServer)
	account(g, procedure("com.atproto.server.activateAccount").takes(auth.Full), noOAuth, m.activateAccount)
	account(g, procedure("com.atproto.server.deactivateAccount").takes(auth.Full|auth.OrTakendown), noOAuth, m.deactivateAccount)
	account(g, query("com.atproto.server.checkAccountStatus").takes(auth.Std), anyOAuth, m.checkAccountStatus)
	account(g, procedure("com.atproto.server.requestAccountDelete").takes(auth.Full|auth.NoTakedown), noOAuth, m.requestAccountDelete)
	account(g, procedure("com.atproto.server.requestEmailConfirmation").takes(auth.Std|auth.NoTakedown), mayManageEmail[serverRequestEmailConfirmationInput], m.requestEmailConfirmation)
	account(g, procedure("com.atproto.server.confirmEmail").takes(auth.Std|auth.NoTakedown), mayManageEmail[serverConfirmEmailInput], m.confirmEmail)
	account(g, procedure("com.atproto.server.requestEmailUpdate").takes(auth.Full|auth.NoTakedown), noOAuth, m.requestEmailUpdate)
	account(g, procedure("com.atproto.server.updateEmail").takes(auth.Full|auth.NoTakedown), noOAuth, m.updateEmail)
	public(g, procedure("com.atproto.server.requestPasswordReset"), m.requestPasswordReset)
	public(g, procedure("com.atproto.server.resetPassword").noting("mailed token"), m.resetPassword)
	account(g, procedure("com.atproto.server.createAppPassword").takes(auth.Full|auth.NoTakedown), noOAuth, m.createAppPassword)
	account(g, query("com.atproto.server.listAppPasswords").takes(auth.Std), noOAuth, m.listAppPasswords)
	account(g, procedure("com.atproto.server.revokeAppPassword").takes(auth.Std), noOAuth, m.revokeAppPassword)
	public(g, procedure("com.atproto.server.deleteAccount").noting("main password and mailed token"), m.deleteAccount)
	account(g, query("com.atproto.server.getAccountInviteCodes").takes(auth.Full|auth.NoTakedown), noOAuth, m.getAccountInviteCodes)
	operator(g, procedure("com.atproto.server.createInviteCode"), auth.RoleAdmin, m.createInviteCode)
	operator(g, procedure("com.atproto.server.createInviteCodes"), auth.RoleAdmin, m.createInviteCodes)
}

// mayManageEmail is where an OAuth token's account:email?action=manage is asked for; sessions may.
func mayManageEmail[I any](accountCaller, *I) error { return nil }
