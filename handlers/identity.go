package handlers

import (
	"log/slog"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
)

// identityMethods are com.atproto.identity.*: handles and DIDs.
type identityMethods struct {
	actors    *accounts.Cache
	documents *identity.Resolver
	log       *slog.Logger
}

func (m identityMethods) register(g *group) {
	public(g, query("com.atproto.identity.resolveHandle"), m.resolveHandle)
}
