package xrpc

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/limit"
)

// operatorOf establishes an operator. Guessing a password is limited by address; who knows one is not. A bearer token
// that is no operator's may be the moderation service's, which has the role moderator: service says whether that is
// enough here, and token is then what it was proven by.
func (g *Group) operatorOf(ctx context.Context, c *call, method string, service bool) (o auth.Operator, token *auth.Service, err error) {
	t, counted := c.state.Tenant, c.state.limited()
	key := ""
	if counted {
		key = addressKey(c.visitor().Addr())
		if v := g.limits.Look(t.Schema, key, 1, t.Settings.RateLimitPercent, wrongOperators); v.Refused {
			return o, nil, c.state.judge(v, g.now())
		}
	}
	header := c.authorization()
	if scheme, _, _ := strings.Cut(header, " "); service && strings.EqualFold(scheme, "bearer") && !auth.IsOperatorToken(header) {
		s, err := g.modService(ctx, c, method)
		return auth.Operator{Name: s.Issuer, Role: auth.RoleModerator}, &s, err
	}
	o, err = g.auth.Operator(ctx, t, header)
	if errors.Is(err, auth.ErrMissing) {
		return o, nil, Refuse(http.StatusUnauthorized, "", "Authentication Required") // of accounts' methods it is AuthMissing
	}
	if errors.Is(err, auth.ErrOperator) {
		if counted {
			g.limits.Take(t.Schema, key, 1, t.Settings.RateLimitPercent, wrongOperators)
		}
		if g.wrongOperator != nil {
			g.wrongOperator(ctx, t, limit.Network(c.visitor().Addr()))
		}
	}
	return o, nil, err
}

// modService establishes the tenant's moderation service by its token for exactly this method. Who the token says it is
// from comes first: no stranger makes this server fetch a DID document by naming an issuer.
func (g *Group) modService(ctx context.Context, c *call, method string) (auth.Service, error) {
	untrusted := Refuse(http.StatusUnauthorized, "UntrustedIss", "Untrusted issuer")
	want := c.state.Tenant.Settings.ModServiceDID
	if want == "" || g.services == nil {
		return auth.Service{}, untrusted
	}
	claim, err := g.services.Read(c.state.Tenant, c.authorization(), method)
	if err != nil {
		return auth.Service{}, err
	}
	did, _, _ := strings.Cut(claim.Issuer, "#")
	if claim.Issuer != want && did != want { // a DID alone also means its labeler
		return auth.Service{}, untrusted
	}
	return g.services.Prove(ctx, OwnAsker(c.state.Tenant), claim)
}
