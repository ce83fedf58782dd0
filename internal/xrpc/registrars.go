package xrpc

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/lexicon"
)

// The registrars. Each hands its handlers a caller of its own.

// Public registers a method that anybody may call.
func Public[I, O any](g *Group, d Declaration, h func(context.Context, Visitor, *I) (*O, error)) {
	register(g, d, "public", RuleText{}, func(_ context.Context, c *call) (Visitor, error) {
		return c.visitor(), nil
	}, nil, h)
}

// Viewer registers a method that anybody may call and whose answer may hold more for an account (of the
// tokens d takes) or the operator. A header that is neither is refused, not ignored.
func Viewer[I, O any](g *Group, d Declaration, h func(context.Context, ViewerCaller, *I) (*O, error)) {
	needAccept(d)
	register(g, d, "viewer", RuleText{}, func(ctx context.Context, c *call) (ViewerCaller, error) {
		v := ViewerCaller{Visitor: c.visitor()}
		header := c.authorization()
		if header == "" {
			return v, nil
		}
		if scheme, _, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "basic") || auth.IsOperatorToken(header) {
			if _, _, err := g.operatorOf(ctx, c, "", false); err != nil {
				return v, viewerError(err)
			}
			v.Operator = true
			return v, nil
		}
		a, err := g.auth.Account(ctx, v.Tenant, header, v.Proof(), d.Accept)
		if err != nil {
			return v, viewerError(err)
		}
		v.Account = &a
		return v, nil
	}, nil, h)
}

// Account registers a method for an account of the tenant. The rule is the part of the permission that needs
// the parsed input.
func Account[I, O any](g *Group, d Declaration, may Rule[I], h func(context.Context, AccountCaller, *I) (*O, error)) {
	needAccept(d)
	if may == nil {
		panic(d.NSID + ": an account method names its rule")
	}
	if d.services && g.services == nil {
		panic(d.NSID + ": no authenticator for service tokens")
	}
	register(g, d, "account", g.tables.rule(d.NSID, may), func(ctx context.Context, c *call) (AccountCaller, error) {
		if d.services && auth.IsService(c.authorization()) {
			return g.inTheNameOf(ctx, c, d)
		}
		a, err := g.auth.Account(ctx, c.state.Tenant, c.authorization(), c.visitor().Proof(), d.Accept)
		return AccountCaller{c.visitor(), a}, err
	}, may, h)
}

// inTheNameOf establishes the account in whose name a service calls: one of this tenant's, whose own key signed the
// token. The account is looked up first, so that nobody makes this server fetch other DIDs' documents.
func (g *Group) inTheNameOf(ctx context.Context, c *call, d Declaration) (AccountCaller, error) {
	t := c.state.Tenant
	claim, err := g.services.Read(t, c.authorization(), d.NSID)
	if err != nil {
		return AccountCaller{}, err
	}
	a, err := g.auth.Hosted(ctx, t, claim.Issuer, d.Accept)
	if err != nil {
		return AccountCaller{}, err
	}
	if _, err := g.services.Prove(ctx, c.visitor().Asker(), claim); err != nil {
		return AccountCaller{}, err
	}
	return AccountCaller{c.visitor(), a}, nil
}

// Newcomer registers a method that anybody may call, and otherwise who brings a DID and proves to have it: with a service
// token for exactly this method, signed by the DID's key. Which of both a call is stands in its input, so here alone a
// token is looked at behind the body. Each has a handler of its own.
func Newcomer[I, O any](g *Group, d Declaration, b Bringing[I], h func(context.Context, Visitor, *I) (*O, error), owner func(context.Context, OwnerCaller, *I) (*O, error)) {
	if g.services == nil {
		panic(d.NSID + ": no authenticator for service tokens")
	}
	register(g, d, "newcomer", RuleText{}, func(_ context.Context, c *call) (Visitor, error) {
		return c.visitor(), nil
	}, nil, func(ctx context.Context, v Visitor, in *I) (*O, error) {
		did := b.DID(in)
		if did == "" {
			return h(ctx, v, in)
		}
		claim, err := g.services.Read(v.Tenant, v.Header("Authorization"), d.NSID)
		if errors.Is(err, auth.ErrServiceMissing) || err == nil && claim.Issuer != did {
			return nil, b.Missing(did)
		}
		if err != nil {
			return nil, err
		}
		s, err := g.services.Prove(ctx, v.Asker(), claim)
		if err != nil {
			return nil, b.Unproven(err)
		}
		return owner(ctx, OwnerCaller{v, s}, in)
	})
}

// Bringing is how the input of a method brings a DID, and what who does not prove to have it is told.
type Bringing[I any] struct {
	DID      func(*I) string         // "": none
	Missing  func(did string) error  // there is no token of this DID's
	Unproven func(cause error) error // the DID's document does not prove the token
}

// Overseen registers a method for an account, and for the tenant's moderation service about the account that the
// parameter did names: with a token for exactly this method. Each has a handler of its own.
func Overseen[I, O any](g *Group, d Declaration, may Rule[I], h func(context.Context, AccountCaller, *I) (*O, error), about func(context.Context, ModeratorCaller, *I) (*O, error)) {
	needAccept(d)
	register(g, d, "overseen", g.tables.rule(d.NSID, may), func(ctx context.Context, c *call) (accountOrModerator, error) {
		var caller accountOrModerator
		if c.visitor().Has("did") && auth.IsService(c.authorization()) {
			m, err := g.moderatorOf(ctx, c, d)
			caller.moderator = &m
			return caller, err
		}
		a, err := g.auth.Account(ctx, c.state.Tenant, c.authorization(), c.visitor().Proof(), d.Accept)
		caller.account = &AccountCaller{c.visitor(), a}
		return caller, err
	}, func(c accountOrModerator, in *I) error {
		if c.account == nil {
			return nil // the tenant named the service
		}
		return may(*c.account, in)
	}, func(ctx context.Context, c accountOrModerator, in *I) (*O, error) {
		if c.account == nil {
			return about(ctx, *c.moderator, in)
		}
		return h(ctx, *c.account, in)
	})
}

// accountOrModerator is one of the two.
type accountOrModerator struct {
	account   *AccountCaller
	moderator *ModeratorCaller
}

// moderatorOf establishes the moderation service, and the account that it asks about.
func (g *Group) moderatorOf(ctx context.Context, c *call, d Declaration) (ModeratorCaller, error) {
	s, err := g.modService(ctx, c, d.NSID)
	if err != nil {
		if e, _ := g.tables.Translate(ctx, err); e.GetStatus() == http.StatusUnauthorized {
			err = Refuse(http.StatusUnauthorized, "UntrustedIss", "Untrusted issuer") // whatever is wrong with its token
		}
		return ModeratorCaller{}, err
	}
	a, err := g.auth.Hosted(ctx, c.state.Tenant, c.Query("did"), d.Accept)
	return ModeratorCaller{c.visitor(), s, a}, err
}

// Refresh registers a method that takes a refresh token.
func Refresh[I, O any](g *Group, d Declaration, h func(context.Context, RefreshCaller, *I) (*O, error)) {
	register(g, d, "refresh", RuleText{}, func(ctx context.Context, c *call) (RefreshCaller, error) {
		r, err := g.auth.Refresh(ctx, c.state.Tenant, c.authorization(), d.expiredToo)
		return RefreshCaller{c.visitor(), r}, err
	}, nil, h)
}

// Operator registers a method for the tenant's operators of that role and above, and up to moderator for its moderation
// service. What a procedure does is written to
// the audit log by the act, in its own transaction; what is refused, here.
func Operator[I, O any](g *Group, d Declaration, role auth.Role, h func(context.Context, OperatorCaller, *I) (*O, error)) {
	if role < auth.RoleSupport || role > auth.RoleOwner {
		panic(d.NSID + ": an operator method names the role it needs")
	}
	d.Role = role
	register(g, d, "operator", RuleText{}, func(ctx context.Context, c *call) (OperatorCaller, error) {
		o, token, err := g.operatorOf(ctx, c, d.NSID, role <= auth.RoleModerator)
		if err != nil {
			return OperatorCaller{}, err
		}
		caller := OperatorCaller{c.visitor(), o, token}
		if o.Role < role {
			err := Refuse(http.StatusForbidden, "Forbidden", "This method needs the role %s", role)
			g.refusedAct(ctx, d, caller, nil, err)
			return OperatorCaller{}, err
		}
		return caller, nil
	}, nil, func(ctx context.Context, c OperatorCaller, in *I) (*O, error) {
		out, err := h(ctx, c, in)
		if err != nil {
			g.refusedAct(ctx, d, c, in, err)
		}
		return out, err
	})
}

// Subscribe registers a subscription that anybody may open. h sees the plain request, and answers it or gives the error
// that is answered.
func Subscribe(g *Group, d Declaration, h func(Visitor, http.ResponseWriter, *http.Request) error) {
	lex, ok := g.tables.Lexicons[d.NSID]
	if !ok || lex.Kind != SubscriptionKind || d.verb != SubscriptionKind || g.ops[d.NSID] != nil {
		panic(d.NSID + ": no subscription of the catalogue, or registered twice")
	}
	d.Limits = g.tables.limitOf(d.NSID)
	op := &Operation{Declaration: d, Method: lex, Class: "public", text: g.tables.text(d.NSID), asked: lexicon.Default().Method(d.NSID)}
	g.ops[d.NSID] = op
	g.api.OpenAPI().AddOperation(op.subscription())
	g.mux.HandleFunc("GET /xrpc/"+d.NSID, func(w http.ResponseWriter, r *http.Request) {
		if e := op.parameters(r); e != nil {
			WriteError(w, e)
			return
		}
		answerPlain(h, w, r)
	})
}

// Page registers what is no method: h answers, or gives the error that is answered.
func Page(g *Group, pattern string, h func(Visitor, http.ResponseWriter, *http.Request) error) {
	*g.pages = append(*g.pages, pattern)
	g.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answerPlain(h, w, r) })
}

func answerPlain(h func(Visitor, http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request) {
	st := stateOf(r.Context())
	switch err := h(st.visitor(), w, r).(type) {
	case nil:
	case *Error: // hides nothing
		WriteError(w, err)
	default:
		WriteError(w, st.fail(err))
	}
}

func needAccept(d Declaration) {
	if d.Accept == 0 {
		panic(d.NSID + ": says not which session tokens it takes")
	}
}

// viewerError is what a header that proves nothing gets where none was needed.
func viewerError(err error) error {
	for _, sentinel := range []error{auth.ErrScheme, auth.ErrUnverified, auth.ErrMalformed, auth.ErrScope, auth.ErrOperator} {
		if errors.Is(err, sentinel) {
			return Refuse(http.StatusUnauthorized, "", "Invalid authorization header")
		}
	}
	return err
}
