package handlers

import (
	"log/slog"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// identityMethods are com.atproto.identity.*: handles and DIDs.
type identityMethods struct {
	acts      *act.Acts
	db        *db.DB
	tenants   *tenant.Registry
	keys      *keyring.Keyring
	actors    *accounts.Cache
	documents *identity.Resolver
	log       *slog.Logger
}

func (m identityMethods) register(g *group) {
	public(g, query("com.atproto.identity.resolveHandle"), m.resolveHandle)
	public(g, query("com.atproto.identity.resolveDid"), m.resolveDid)
	public(g, query("com.atproto.identity.resolveIdentity"), m.resolveIdentity)
	public(g, procedure("com.atproto.identity.refreshIdentity"), m.refreshIdentity)
	account(g, procedure("com.atproto.identity.updateHandle").takes(auth.Std|auth.NoTakedown), mayUpdateHandle, m.updateHandle)
	account(g, query("com.atproto.identity.getRecommendedDidCredentials").takes(auth.Std), anyOAuth, m.getRecommendedDidCredentials)
	account(g, procedure("com.atproto.identity.requestPlcOperationSignature").takes(auth.Full|auth.OrTakendown), mayManageIdentity[identityRequestPlcOperationSignatureInput], m.requestPlcOperationSignature)
	account(g, procedure("com.atproto.identity.signPlcOperation").takes(auth.Full|auth.OrTakendown), mayManageIdentity[identitySignPlcOperationInput], m.signPlcOperation)
	account(g, procedure("com.atproto.identity.submitPlcOperation").takes(auth.Std), mayManageIdentity[identitySubmitPlcOperationInput], m.submitPlcOperation)
}

// mayUpdateHandle and mayManageIdentity are where an OAuth token's identity scopes are asked for; sessions may.
func mayUpdateHandle(accountCaller, *identityUpdateHandleInput) error { return nil }
func mayManageIdentity[I any](accountCaller, *I) error                { return nil }
