package xrpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/danielgtaylor/huma/v2"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
)

// The gate: every XRPC method is registered by exactly one of public, newcomer, viewer, account, overseen, refresh
// and operator. Inside one call the order is parameters, caller, body, rule, handler: a malformed parameter beats
// a missing token, and a missing token beats a malformed body (spec: behaviour of the reference server).

// kind is what a lexicon's main definition is.
type kind uint8

const (
	QueryKind kind = iota + 1
	ProcedureKind
	SubscriptionKind
)

func (k kind) Verb() string {
	if k == ProcedureKind {
		return http.MethodPost
	}
	return http.MethodGet
}

// Method is what the generated table knows of a method.
type Method struct {
	Kind          kind
	Input, Output string   // encodings; "" none
	Errors        []string // declared names
}

// Body limits that no declaration overrides.
// A body of exactly the limit is accepted.
const (
	defaultBodyLimit = 150 << 10 // JSON
)

// Declaration is what is said of a method where it is registered.
type Declaration struct {
	NSID       string
	verb       kind
	Accept     auth.Accept
	expiredToo bool
	services   bool // of account methods: other services may call them too
	Limit      int64
	LimitOf    func(Visitor) int64
	Role       auth.Role // of operator methods
	Limits     LimitRule // from the table
	answer     int64     // what an answer may take in memory
	spare      Sparing
	note       string
}

// methodText is what the tables say of a method to its readers.
type methodText struct {
	summary string
	errors  []ErrorKind              // that the lexicon does not name
	when    func(name string) string // when an error happens, in words
}

// Query declares a method that is called by GET.
func Query(nsid string) Declaration { return Declaration{NSID: nsid, verb: QueryKind} }

// Procedure declares a method that is called by POST.
func Procedure(nsid string) Declaration { return Declaration{NSID: nsid, verb: ProcedureKind} }

// Subscription declares a method that is a stream of messages over a WebSocket.
func Subscription(nsid string) Declaration { return Declaration{NSID: nsid, verb: SubscriptionKind} }

// Takes names the session tokens that an account or viewer method accepts: auth.Std|auth.NoTakedown.
func (d Declaration) Takes(a auth.Accept) Declaration { d.Accept = a; return d }

// OrService makes an account method also take service tokens for exactly this method: another service calls it in the
// account's name.
func (d Declaration) OrService() Declaration { d.services = true; return d }

// Sparing lets accounts go on beyond the method's limit while of says so, for what serves that: see [AccountCaller.Spared].
func (d Declaration) Sparing(of Sparing) Declaration {
	d.spare, d.note = of, strings.TrimSpace(d.note+" beyond the limit: what records wait for")
	return d
}

// Expired makes a refresh method take tokens past their time.
func (d Declaration) Expired() Declaration { d.expiredToo = true; return d }

// Body limits the decoded request body to n bytes.
func (d Declaration) Body(n int64) Declaration { d.Limit = n; return d }

// BodyOf limits the decoded request body by a tenant's setting; what names it in the access table.
// A limit of 0 is none.
func (d Declaration) BodyOf(what string, of func(Visitor) int64) Declaration {
	d.LimitOf, d.note = of, strings.TrimSpace(d.note+" body≤"+what)
	return d
}

// Noting adds a remark to the method's line in the access table.
func (d Declaration) Noting(s string) Declaration {
	d.note = strings.TrimSpace(d.note + " " + s)
	return d
}

// Rule decides from the parsed input whether an account may do this; its name stands in the access table.
// It is where a method says what an OAuth token must cover. A rule of nil error lets pass.
type Rule[I any] func(AccountCaller, *I) error

// Operation is a registered method.
type Operation struct {
	Declaration
	Method
	Class string          // the registering function: public, viewer, account …
	rule  string          // the rule's name
	asked *lexicon.Method // what its requests must be
	text  methodText
	// establish finds the caller; it runs once, after the parameters and before the body.
	establish func(context.Context, *call) error
}

// Group is what methods are registered on.
type Group struct {
	api         huma.API
	auth        Authenticator
	services    ServiceAuthenticator // nil: no method may take service tokens
	limits      *limit.Counter       // nil: nothing is counted
	answers     *fair.Bytes
	now         func() time.Time
	ops         map[string]*Operation
	bodies      map[reflect.Type]*lexicon.Method // by the type of an Input's Body
	mux         *http.ServeMux                   // for what is not Huma's: subscriptions and pages
	tables      *Tables
	Sockets     *Sockets
	refusedCall func(http.ResponseWriter, *http.Request)
	refused     func(context.Context, OperatorCaller, string, any, *Error) error
	JSON        func() []byte // the interface as JSON, once all methods are in
	others      *Others       // the server's
}

// Public registers a method that anybody may call.
func Public[I, O any](g *Group, d Declaration, h func(context.Context, Visitor, *I) (*O, error)) {
	register(g, d, "public", "", func(_ context.Context, c *call) (Visitor, error) {
		return c.visitor(), nil
	}, nil, h)
}

// Viewer registers a method that anybody may call and whose answer may hold more for an account (of the
// tokens d takes) or the operator. A header that is neither is refused, not ignored.
func Viewer[I, O any](g *Group, d Declaration, h func(context.Context, ViewerCaller, *I) (*O, error)) {
	needAccept(d)
	register(g, d, "viewer", "", func(ctx context.Context, c *call) (ViewerCaller, error) {
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
		a, err := g.auth.Account(ctx, v.Tenant, header, d.Accept)
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
	register(g, d, "account", ruleName(may), func(ctx context.Context, c *call) (AccountCaller, error) {
		if d.services && auth.IsService(c.authorization()) {
			return g.inTheNameOf(ctx, c, d)
		}
		a, err := g.auth.Account(ctx, c.state.Tenant, c.authorization(), d.Accept)
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
	register(g, d, "newcomer", "", func(_ context.Context, c *call) (Visitor, error) {
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
	register(g, d, "overseen", ruleName(may), func(ctx context.Context, c *call) (accountOrModerator, error) {
		var caller accountOrModerator
		if c.visitor().Has("did") && auth.IsService(c.authorization()) {
			m, err := g.moderatorOf(ctx, c, d)
			caller.moderator = &m
			return caller, err
		}
		a, err := g.auth.Account(ctx, c.state.Tenant, c.authorization(), d.Accept)
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
	register(g, d, "refresh", "", func(ctx context.Context, c *call) (RefreshCaller, error) {
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
	register(g, d, "operator", "", func(ctx context.Context, c *call) (OperatorCaller, error) {
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

// register is the one way to Huma.
func register[C, I, O any](g *Group, d Declaration, class, ruleName string, establish func(context.Context, *call) (C, error), may func(C, *I) error, h func(context.Context, C, *I) (*O, error)) {
	lex, ok := g.tables.Lexicons[d.NSID]
	switch {
	case !ok:
		panic(d.NSID + ": no such lexicon in the catalogue")
	case lex.Kind != d.verb:
		panic(fmt.Sprintf("%s is called by %s", d.NSID, lex.Kind.Verb()))
	case g.ops[d.NSID] != nil:
		panic(d.NSID + ": registered twice")
	case reflect.TypeFor[I]().Name() != mechanicalName(d.NSID)+"Input":
		panic(fmt.Sprintf("%s: its input is %sInput, not %s", d.NSID, mechanicalName(d.NSID), reflect.TypeFor[I]().Name()))
	}
	if d.Limit == 0 && lex.Input == "application/json" {
		d.Limit = defaultBodyLimit
	}
	d.Limits = g.tables.limitOf(d.NSID)
	if d.answer == 0 {
		d.answer = smallAnswer
		if lex.Input != "" && lex.Input != "application/json" {
			d.answer = tinyAnswer
		}
	}
	op := &Operation{Declaration: d, Method: lex, Class: class, rule: ruleName, text: g.tables.text(d.NSID), asked: lexicon.Default().Method(d.NSID)}
	if body, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		if g.bodies[body.Type] != nil {
			panic(d.NSID + ": another method has the same body")
		}
		g.bodies[body.Type] = op.asked
	}
	op.establish = func(ctx context.Context, c *call) error {
		caller, err := establish(ctx, c)
		if err == nil {
			c.caller = &caller
		} else if g.refusedCall != nil {
			g.refusedCall(c.w, c.req)
		}
		return err
	}
	g.ops[d.NSID] = op
	huma.Register(g.api, op.huma(), func(ctx context.Context, in *I) (*O, error) {
		c := stateOf(ctx).call
		if e := c.enter(); e != nil {
			return nil, e
		}
		caller := *c.caller.(*C)
		if may != nil {
			if err := may(caller, in); err != nil {
				return nil, c.fail(err)
			}
		}
		if e := g.charge(ctx, c, op, caller, in); e != nil {
			return nil, e
		}
		if e := g.reserve(ctx, c, op); e != nil {
			return nil, e
		}
		if s, ok := any(in).(interface{ attach(*incoming) }); ok {
			s.attach(&c.in)
		}
		out, err := h(ctx, caller, in)
		if err == nil {
			err = c.state.fits(out)
		}
		// A body that turned out too large or broken while the handler read it is the better reason.
		if c.refusal != nil {
			return nil, c.refusal
		}
		if err != nil {
			return nil, c.fail(err)
		}
		return out, nil
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

// mechanicalName is com.atproto.repo.createRecord → repoCreateRecord, and org.auroralocus.server.getUsage →
// locusServerGetUsage.
func mechanicalName(nsid string) string {
	parts := strings.Split(nsid, ".")
	group, last := parts[len(parts)-2], parts[len(parts)-1]
	if strings.HasPrefix(nsid, OwnNamespace) {
		group = "locus" + strings.ToUpper(group[:1]) + group[1:]
	}
	return group + strings.ToUpper(last[:1]) + last[1:]
}

// OwnNamespace is before the names of the methods that no other server has.
const OwnNamespace = "org.auroralocus."

func ruleName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	name = name[strings.LastIndexByte(strings.TrimSuffix(name, "[...]"), '.')+1:]
	return strings.TrimSuffix(name, "[...]")
}
