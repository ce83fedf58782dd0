package handlers

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// The callers. Each registering function of gate.go hands its handlers another of these types, so a method
// that is given too little protection does not compile.
type (
	// visitor is whoever calls a public method. Every other caller is one too.
	visitor struct {
		Tenant *tenant.Tenant // whom the Host header named
		req    *http.Request
	}

	// viewerCaller may be nobody, an account of the tenant (also taken down or deactivated: what it may see is
	// the handler's to say) or the operator.
	viewerCaller struct {
		visitor
		Account  *auth.Account // nil: not signed in
		Operator bool
	}

	accountCaller struct {
		visitor
		auth.Account
	}

	refreshCaller struct {
		visitor
		auth.Refresh
	}

	serviceCaller struct {
		visitor
		auth.Service
	}

	operatorCaller struct {
		visitor
		auth.Operator
		requestID string
		token     *auth.Service // the moderation service's; nil: an operator acts
	}
)

// sees tells whether a viewer sees what is hidden of the account: it is the account itself, or the operator.
func (v viewerCaller) sees(did string) bool {
	return v.Operator || v.Account != nil && v.Account.DID == did
}

// authenticator turns an Authorization header into a caller. Its errors are translated by errors.go.
type authenticator interface {
	Account(ctx context.Context, t *tenant.Tenant, authorization string, accept auth.Accept) (auth.Account, error)
	Refresh(ctx context.Context, t *tenant.Tenant, authorization string, expiredToo bool) (auth.Refresh, error)
	Operator(ctx context.Context, t *tenant.Tenant, authorization string) (auth.Operator, error)
	// Hosted is the account in whose name a service calls.
	Hosted(ctx context.Context, t *tenant.Tenant, did string, accept auth.Accept) (auth.Account, error)
}

// serviceAuthenticator checks the token another service's call carries; method is the NSID it must be for. Service is
// Read, which asks nobody, and Prove, which may go to the network, in one.
type serviceAuthenticator interface {
	Read(t *tenant.Tenant, authorization, method string) (auth.Claim, error)
	Prove(ctx context.Context, who identity.Asker, c auth.Claim) (auth.Service, error)
	Service(ctx context.Context, who identity.Asker, t *tenant.Tenant, authorization, method string) (auth.Service, error)
}

// path is whom what the request takes of anything shared is counted for.
func (v visitor) path() fair.Path { return stateOf(v.req.Context()).path() }

func (s *state) path() fair.Path { return fair.PathOf(s.Tenant.Schema.String(), s.addr) }

// asker is the caller as the resolver knows it: what has to be fetched is counted for its address and for the tenant.
func (v visitor) asker() identity.Asker {
	st := stateOf(v.req.Context())
	return identity.Asker{Scope: v.Tenant.Schema.String(), Charge: func() error {
		if e := st.chargeLookup(v.req); e != nil {
			return e
		}
		return nil
	}}
}

// ownAsker is for what the tenant itself looks up of its accounts.
func ownAsker(t *tenant.Tenant) identity.Asker { return identity.Asker{Scope: t.Schema.String()} }

// stranger is the caller as acts know it who has no account.
func (v visitor) stranger() act.Visitor {
	return act.Visitor{Language: v.language(), From: v.path(), Asks: v.asker()}
}

// Header is a header of the request, for the few methods that need one (atproto-proxy, User-Agent).
func (v visitor) Header(name string) string { return v.req.Header.Get(name) }

// Addr is the caller's address, behind the proxies that the deployment trusts.
func (v visitor) Addr() netip.Addr { return stateOf(v.req.Context()).addr }
