package xrpc

import (
	"context"
	"net/netip"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// The callers. Each registrar hands its handlers another of these types, so a method
// that is given too little protection does not compile.
type (
	// Visitor is whoever calls a public method. Every other caller is one too.
	Visitor struct {
		Tenant *tenant.Tenant // whom the Host header named
		state  *state
	}

	// ViewerCaller may be nobody, an account of the tenant (also taken down or deactivated: the handler decides what it
	// may see) or the operator.
	ViewerCaller struct {
		Visitor
		Account  *auth.Account // nil: not signed in
		Operator bool
	}

	AccountCaller struct {
		Visitor
		auth.Account
	}

	RefreshCaller struct {
		Visitor
		auth.Refresh
	}

	// OwnerCaller brings a DID that is its own: its key signed the token.
	OwnerCaller struct {
		Visitor
		auth.Service
	}

	// ModeratorCaller is the tenant's moderation service, which asks about an account.
	ModeratorCaller struct {
		Visitor
		auth.Service
		About auth.Account
	}

	OperatorCaller struct {
		Visitor
		auth.Operator
		Token *auth.Service // the moderation service's; nil: an operator acts
	}
)

// Sees tells whether a viewer sees what is hidden of the account: it is the account itself, or the operator.
func (v ViewerCaller) Sees(did string) bool {
	return v.Operator || v.Account != nil && v.Account.DID == did
}

// Authenticator turns an Authorization header into a caller. Its errors are in the table of translations.
type Authenticator interface {
	// Account is asked with what else proves the caller: an OAuth token needs a proof of possession of this very request.
	Account(ctx context.Context, t *tenant.Tenant, authorization string, proof auth.Proof, accept auth.Accept) (auth.Account, error)
	// Nonce is the header DPoP-Nonce of a tenant's answers now, with which clients make their next proofs; nil: it is not
	// known at the moment. Nobody changes it.
	Nonce(ctx context.Context, t *tenant.Tenant) []string
	Refresh(ctx context.Context, t *tenant.Tenant, authorization string, expiredToo bool) (auth.Refresh, error)
	Operator(ctx context.Context, t *tenant.Tenant, authorization string) (auth.Operator, error)
	// Hosted is the account in whose name a service calls.
	Hosted(ctx context.Context, t *tenant.Tenant, did string, accept auth.Accept) (auth.Account, error)
}

// ServiceAuthenticator checks the token another service's call carries; method is the NSID it must be for. Read asks
// nobody, Prove may go to the network.
type ServiceAuthenticator interface {
	Read(t *tenant.Tenant, authorization, method string) (auth.Claim, error)
	Prove(ctx context.Context, who identity.Asker, c auth.Claim) (auth.Service, error)
}

// Path says for whom shared resources are counted that the request takes.
func (v Visitor) Path() fair.Path { return v.state.path() }

func (s *state) path() fair.Path { return fair.PathOf(s.Tenant.Schema.String(), s.addr) }

// Asker is the caller as the resolver knows it: fetches are counted for its address and its tenant.
func (v Visitor) Asker() identity.Asker {
	return identity.Asker{Scope: v.Tenant.Schema.String(), Charge: func() error {
		if e := v.state.chargeLookup(); e != nil {
			return e
		}
		return nil
	}}
}

// OwnAsker is for what the tenant itself looks up of its accounts.
func OwnAsker(t *tenant.Tenant) identity.Asker { return identity.Asker{Scope: t.Schema.String()} }

// Header is a header of the request, for the few methods that need one (atproto-proxy, User-Agent).
func (v Visitor) Header(name string) string { return v.state.req.Header.Get(name) }

// Has says whether a parameter was given, "0" and "" included.
func (v Visitor) Has(name string) bool { return v.state.req.URL.Query().Has(name) }

// HostHandle is the handle whose host was asked; "" at the tenant's own.
func (v Visitor) HostHandle() string { return v.state.Handle }

// LogError writes down an error that no answer tells any more.
func (v Visitor) LogError(err error) { v.state.fail(err) }

// Proof is what proves the caller besides the header Authorization.
func (v Visitor) Proof() auth.Proof { return auth.ProofOf(v.state.URL(), v.state.req) }

// MayLag says whether a replica of the database may answer: the method is declared so, and whoever calls has shown nothing
// that an account or an operator would. What an account reads of its own is never older than what it wrote.
func (v Visitor) MayLag() bool {
	c := v.state.call
	return c != nil && c.op.lags && c.authorization() == ""
}

// Verb is the request's: HEAD where a file is only asked about.
func (v Visitor) Verb() string { return v.state.req.Method }

// RequestID is what the logs call the request.
func (v Visitor) RequestID() string { return v.state.requestID() }

// Limited says whether this caller is counted at all: a tenant may do without limits, and let some past them.
func (v Visitor) Limited() bool { return v.state.limited() }

// Grow asks for memory for an answer that turned out larger than the method declared.
func (v Visitor) Grow(bytes int64) error {
	if !v.state.hold.Grow(bytes) {
		return fair.ErrNoBytes
	}
	return nil
}

// Addr is the caller's address, behind the proxies that the deployment trusts.
func (v Visitor) Addr() netip.Addr { return v.state.addr }
