package handlers

import (
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// serverMethods are com.atproto.server.*: accounts and their sessions.
type serverMethods struct {
	db        *db.DB
	tenants   *tenant.Registry
	keys      *keyring.Keyring
	passwords *accounts.Passwords
	sessions  *auth.Sessions
	actors    *accounts.Cache
	hub       *firehose.Hub
	directory identity.Directory
	documents *identity.Resolver
	now       func() time.Time
	log       *slog.Logger
}

func (m serverMethods) register(g *group) {
	public(g, procedure("com.atproto.server.createAccount"), m.createAccount)
	public(g, procedure("com.atproto.server.createSession"), m.createSession)
	refresh(g, procedure("com.atproto.server.refreshSession"), m.refreshSession)
	refresh(g, procedure("com.atproto.server.deleteSession").expired(), m.deleteSession)
	account(g, query("com.atproto.server.getSession").takes(auth.Std), anyOAuth, m.getSession)
	public(g, query("com.atproto.server.describeServer"), m.describeServer)
	operator(g, procedure("com.atproto.server.createInviteCode"), m.createInviteCode)
	operator(g, procedure("com.atproto.server.createInviteCodes"), m.createInviteCodes)
}
