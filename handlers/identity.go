package handlers

import (
	"log/slog"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
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
	actors    *account.Cache
	documents *identity.Resolver
	log       *slog.Logger
}

func (m identityMethods) register(g *xrpc.Group) {
	xrpc.Public(g, xrpc.Query("com.atproto.identity.resolveHandle"), m.resolveHandle)
	xrpc.Public(g, xrpc.Query("com.atproto.identity.resolveDid"), m.resolveDid)
	xrpc.Public(g, xrpc.Query("com.atproto.identity.resolveIdentity"), m.resolveIdentity)
	xrpc.Public(g, xrpc.Procedure("com.atproto.identity.refreshIdentity"), m.refreshIdentity)
	xrpc.Account(g, xrpc.Procedure("com.atproto.identity.updateHandle").Takes(auth.Std|auth.NoTakedown), mayUpdateHandle, m.updateHandle)
	xrpc.Account(g, xrpc.Query("com.atproto.identity.getRecommendedDidCredentials").Takes(auth.Std), anyOAuth, m.getRecommendedDidCredentials)
	xrpc.Account(g, xrpc.Procedure("com.atproto.identity.requestPlcOperationSignature").Takes(auth.Full|auth.OrTakendown), mayManageIdentity[identityRequestPlcOperationSignatureInput], m.requestPlcOperationSignature)
	xrpc.Account(g, xrpc.Procedure("com.atproto.identity.signPlcOperation").Takes(auth.Full|auth.OrTakendown), mayManageIdentity[identitySignPlcOperationInput], m.signPlcOperation)
	xrpc.Account(g, xrpc.Procedure("com.atproto.identity.submitPlcOperation").Takes(auth.Std), mayManageIdentity[identitySubmitPlcOperationInput], m.submitPlcOperation)
}
