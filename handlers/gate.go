package handlers

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
	queryKind kind = iota + 1
	procedureKind
	subscriptionKind
)

func (k kind) verb() string {
	if k == procedureKind {
		return http.MethodPost
	}
	return http.MethodGet
}

// lexiconMethod is what the generated table knows of a method.
type lexiconMethod struct {
	kind          kind
	input, output string   // encodings; "" none
	errors        []string // declared names
}

// Body limits that no declaration overrides.
// A body of exactly the limit is accepted.
const (
	defaultBodyLimit = 150 << 10 // JSON
)

// declaration is what is said of a method where it is registered.
type declaration struct {
	nsid       string
	verb       kind
	accept     auth.Accept
	expiredToo bool
	services   bool // of account methods: other services may call them too
	limit      int64
	limitOf    func(visitor) int64
	role       auth.Role // of operator methods
	limits     limitRule // limits.go has them all
	answer     int64     // what an answer may take in memory
	spare      sparing
	note       string
}

// methodText is what the tables say of a method to its readers.
type methodText struct {
	summary string
	errors  []errorKind              // that the lexicon does not name
	when    func(name string) string // when an error happens, in words
}

// query declares a method that is called by GET.
func query(nsid string) declaration { return declaration{nsid: nsid, verb: queryKind} }

// procedure declares a method that is called by POST.
func procedure(nsid string) declaration { return declaration{nsid: nsid, verb: procedureKind} }

// subscription declares a method that is a stream of messages over a WebSocket.
func subscription(nsid string) declaration { return declaration{nsid: nsid, verb: subscriptionKind} }

// takes names the session tokens that an account or viewer method accepts: auth.Std|auth.NoTakedown.
func (d declaration) takes(a auth.Accept) declaration { d.accept = a; return d }

// orService makes an account method also take service tokens for exactly this method: another service calls it in the
// account's name.
func (d declaration) orService() declaration { d.services = true; return d }

// sparing lets accounts go on beyond the method's limit while of says so, for what serves that: see [accountCaller.spared].
func (d declaration) sparing(of sparing) declaration {
	d.spare, d.note = of, strings.TrimSpace(d.note+" beyond the limit: what records wait for")
	return d
}

// expired makes a refresh method take tokens past their time.
func (d declaration) expired() declaration { d.expiredToo = true; return d }

// body limits the decoded request body to n bytes.
func (d declaration) body(n int64) declaration { d.limit = n; return d }

// bodyOf limits the decoded request body by a tenant's setting; what names it in the access table.
// A limit of 0 is none.
func (d declaration) bodyOf(what string, of func(visitor) int64) declaration {
	d.limitOf, d.note = of, strings.TrimSpace(d.note+" body≤"+what)
	return d
}

// noting adds a remark to the method's line in the access table.
func (d declaration) noting(s string) declaration {
	d.note = strings.TrimSpace(d.note + " " + s)
	return d
}

// rule decides from the parsed input whether an account may do this; its name stands in the access table.
// It is where a method says what an OAuth token must cover. A rule of nil error lets pass.
type rule[I any] func(accountCaller, *I) error

// operation is a registered method.
type operation struct {
	declaration
	lexiconMethod
	class string          // the registering function: public, viewer, account …
	rule  string          // the rule's name
	asked *lexicon.Method // what its requests must be
	text  methodText
	// establish finds the caller; it runs once, after the parameters and before the body.
	establish func(context.Context, *call) error
}

// group is what methods are registered on.
type group struct {
	api         huma.API
	auth        authenticator
	services    serviceAuthenticator // nil: no method may take service tokens
	limits      *limit.Counter       // nil: nothing is counted
	answers     *fair.Bytes
	now         func() time.Time
	ops         map[string]*operation
	bodies      map[reflect.Type]*lexicon.Method // by the type of an Input's Body
	mux         *http.ServeMux                   // for what is not Huma's: subscriptions and pages
	tables      *tables
	sockets     *sockets
	refusedCall func(http.ResponseWriter, *http.Request)
	refused     func(context.Context, operatorCaller, string, any, *Error) error
	document    func() []byte // the interface as JSON, once all methods are in
}

// public registers a method that anybody may call.
func public[I, O any](g *group, d declaration, h func(context.Context, visitor, *I) (*O, error)) {
	register(g, d, "public", "", func(_ context.Context, c *call) (visitor, error) {
		return c.visitor(), nil
	}, nil, h)
}

// viewer registers a method that anybody may call and whose answer may hold more for an account (of the
// tokens d takes) or the operator. A header that is neither is refused, not ignored.
func viewer[I, O any](g *group, d declaration, h func(context.Context, viewerCaller, *I) (*O, error)) {
	needAccept(d)
	register(g, d, "viewer", "", func(ctx context.Context, c *call) (viewerCaller, error) {
		v := viewerCaller{visitor: c.visitor()}
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
		a, err := g.auth.Account(ctx, v.Tenant, header, d.accept)
		if err != nil {
			return v, viewerError(err)
		}
		v.Account = &a
		return v, nil
	}, nil, h)
}

// account registers a method for an account of the tenant. The rule is the part of the permission that needs
// the parsed input.
func account[I, O any](g *group, d declaration, may rule[I], h func(context.Context, accountCaller, *I) (*O, error)) {
	needAccept(d)
	if may == nil {
		panic(d.nsid + ": an account method names its rule")
	}
	if d.services && g.services == nil {
		panic(d.nsid + ": no authenticator for service tokens")
	}
	register(g, d, "account", ruleName(may), func(ctx context.Context, c *call) (accountCaller, error) {
		if d.services && auth.IsService(c.authorization()) {
			return g.inTheNameOf(ctx, c, d)
		}
		a, err := g.auth.Account(ctx, c.state.Tenant, c.authorization(), d.accept)
		return accountCaller{c.visitor(), a}, err
	}, may, h)
}

// inTheNameOf establishes the account in whose name a service calls: one of this tenant's, whose own key signed the
// token. The account is looked up first, so that nobody makes this server fetch other DIDs' documents.
func (g *group) inTheNameOf(ctx context.Context, c *call, d declaration) (accountCaller, error) {
	t := c.state.Tenant
	claim, err := g.services.Read(t, c.authorization(), d.nsid)
	if err != nil {
		return accountCaller{}, err
	}
	a, err := g.auth.Hosted(ctx, t, claim.Issuer, d.accept)
	if err != nil {
		return accountCaller{}, err
	}
	if _, err := g.services.Prove(ctx, c.visitor().asker(), claim); err != nil {
		return accountCaller{}, err
	}
	return accountCaller{c.visitor(), a}, nil
}

// newcomer registers a method that anybody may call, and otherwise who brings a DID and proves to have it: with a service
// token for exactly this method, signed by the DID's key. Which of both a call is stands in its input, so here alone a
// token is looked at behind the body. Each has a handler of its own.
func newcomer[I, O any](g *group, d declaration, b bringing[I], h func(context.Context, visitor, *I) (*O, error), owner func(context.Context, ownerCaller, *I) (*O, error)) {
	if g.services == nil {
		panic(d.nsid + ": no authenticator for service tokens")
	}
	register(g, d, "newcomer", "", func(_ context.Context, c *call) (visitor, error) {
		return c.visitor(), nil
	}, nil, func(ctx context.Context, v visitor, in *I) (*O, error) {
		did := b.DID(in)
		if did == "" {
			return h(ctx, v, in)
		}
		claim, err := g.services.Read(v.Tenant, v.Header("Authorization"), d.nsid)
		if errors.Is(err, auth.ErrServiceMissing) || err == nil && claim.Issuer != did {
			return nil, b.Missing(did)
		}
		if err != nil {
			return nil, err
		}
		s, err := g.services.Prove(ctx, v.asker(), claim)
		if err != nil {
			return nil, b.Unproven(err)
		}
		return owner(ctx, ownerCaller{v, s}, in)
	})
}

// bringing is how the input of a method brings a DID, and what who does not prove to have it is told.
type bringing[I any] struct {
	DID      func(*I) string         // "": none
	Missing  func(did string) error  // there is no token of this DID's
	Unproven func(cause error) error // the DID's document does not prove the token
}

// overseen registers a method for an account, and for the tenant's moderation service about the account that the
// parameter did names: with a token for exactly this method. Each has a handler of its own.
func overseen[I, O any](g *group, d declaration, may rule[I], h func(context.Context, accountCaller, *I) (*O, error), about func(context.Context, moderatorCaller, *I) (*O, error)) {
	needAccept(d)
	register(g, d, "overseen", ruleName(may), func(ctx context.Context, c *call) (accountOrModerator, error) {
		var caller accountOrModerator
		if c.visitor().has("did") && auth.IsService(c.authorization()) {
			m, err := g.moderatorOf(ctx, c, d)
			caller.moderator = &m
			return caller, err
		}
		a, err := g.auth.Account(ctx, c.state.Tenant, c.authorization(), d.accept)
		caller.account = &accountCaller{c.visitor(), a}
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
	account   *accountCaller
	moderator *moderatorCaller
}

// moderatorOf establishes the moderation service, and the account that it asks about.
func (g *group) moderatorOf(ctx context.Context, c *call, d declaration) (moderatorCaller, error) {
	s, err := g.modService(ctx, c, d.nsid)
	if err != nil {
		if e, _ := g.tables.translate(ctx, err); e.GetStatus() == http.StatusUnauthorized {
			err = refuse(http.StatusUnauthorized, "UntrustedIss", "Untrusted issuer") // whatever is wrong with its token
		}
		return moderatorCaller{}, err
	}
	a, err := g.auth.Hosted(ctx, c.state.Tenant, c.Query("did"), d.accept)
	return moderatorCaller{c.visitor(), s, a}, err
}

// refresh registers a method that takes a refresh token.
func refresh[I, O any](g *group, d declaration, h func(context.Context, refreshCaller, *I) (*O, error)) {
	register(g, d, "refresh", "", func(ctx context.Context, c *call) (refreshCaller, error) {
		r, err := g.auth.Refresh(ctx, c.state.Tenant, c.authorization(), d.expiredToo)
		return refreshCaller{c.visitor(), r}, err
	}, nil, h)
}

// operator registers a method for the tenant's operators of that role and above, and up to moderator for its moderation
// service. What a procedure does is written to
// the audit log by the act, in its own transaction; what is refused, here.
func operator[I, O any](g *group, d declaration, role auth.Role, h func(context.Context, operatorCaller, *I) (*O, error)) {
	if role < auth.RoleSupport || role > auth.RoleOwner {
		panic(d.nsid + ": an operator method names the role it needs")
	}
	d.role = role
	register(g, d, "operator", "", func(ctx context.Context, c *call) (operatorCaller, error) {
		o, token, err := g.operatorOf(ctx, c, d.nsid, role <= auth.RoleModerator)
		if err != nil {
			return operatorCaller{}, err
		}
		caller := operatorCaller{c.visitor(), o, token}
		if o.Role < role {
			err := refuse(http.StatusForbidden, "Forbidden", "This method needs the role %s", role)
			g.refusedAct(ctx, d, caller, nil, err)
			return operatorCaller{}, err
		}
		return caller, nil
	}, nil, func(ctx context.Context, c operatorCaller, in *I) (*O, error) {
		out, err := h(ctx, c, in)
		if err != nil {
			g.refusedAct(ctx, d, c, in, err)
		}
		return out, err
	})
}

// register is the one way to Huma.
func register[C, I, O any](g *group, d declaration, class, ruleName string, establish func(context.Context, *call) (C, error), may func(C, *I) error, h func(context.Context, C, *I) (*O, error)) {
	lex, ok := g.tables.Lexicons[d.nsid]
	switch {
	case !ok:
		panic(d.nsid + ": no such lexicon in the catalogue")
	case lex.kind != d.verb:
		panic(fmt.Sprintf("%s is called by %s", d.nsid, lex.kind.verb()))
	case g.ops[d.nsid] != nil:
		panic(d.nsid + ": registered twice")
	case reflect.TypeFor[I]().Name() != mechanicalName(d.nsid)+"Input":
		panic(fmt.Sprintf("%s: its input is %sInput, not %s", d.nsid, mechanicalName(d.nsid), reflect.TypeFor[I]().Name()))
	}
	if d.limit == 0 && lex.input == "application/json" {
		d.limit = defaultBodyLimit
	}
	d.limits = g.tables.limitOf(d.nsid)
	if d.answer == 0 {
		d.answer = smallAnswer
		if lex.input != "" && lex.input != "application/json" {
			d.answer = tinyAnswer
		}
	}
	op := &operation{declaration: d, lexiconMethod: lex, class: class, rule: ruleName, text: g.tables.text(d.nsid), asked: lexicon.Default().Method(d.nsid)}
	if body, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		if g.bodies[body.Type] != nil {
			panic(d.nsid + ": another method has the same body")
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
	g.ops[d.nsid] = op
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

// subscribe registers a subscription that anybody may open. h sees the plain request, and answers it or gives the error
// that is answered.
func subscribe(g *group, d declaration, h func(visitor, http.ResponseWriter, *http.Request) error) {
	lex, ok := g.tables.Lexicons[d.nsid]
	if !ok || lex.kind != subscriptionKind || d.verb != subscriptionKind || g.ops[d.nsid] != nil {
		panic(d.nsid + ": no subscription of the catalogue, or registered twice")
	}
	d.limits = g.tables.limitOf(d.nsid)
	op := &operation{declaration: d, lexiconMethod: lex, class: "public", text: g.tables.text(d.nsid), asked: lexicon.Default().Method(d.nsid)}
	g.ops[d.nsid] = op
	g.api.OpenAPI().AddOperation(op.subscription())
	g.mux.HandleFunc("GET /xrpc/"+d.nsid, func(w http.ResponseWriter, r *http.Request) {
		if e := op.parameters(r); e != nil {
			writeError(w, e)
			return
		}
		answerPlain(h, w, r)
	})
}

// page registers what is no method: h answers, or gives the error that is answered.
func page(g *group, pattern string, h func(visitor, http.ResponseWriter, *http.Request) error) {
	g.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answerPlain(h, w, r) })
}

func answerPlain(h func(visitor, http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request) {
	st := stateOf(r.Context())
	switch err := h(st.visitor(), w, r).(type) {
	case nil:
	case *Error: // hides nothing
		writeError(w, err)
	default:
		writeError(w, st.fail(err))
	}
}

func needAccept(d declaration) {
	if d.accept == 0 {
		panic(d.nsid + ": says not which session tokens it takes")
	}
}

// viewerError is what a header that proves nothing gets where none was needed.
func viewerError(err error) error {
	for _, sentinel := range []error{auth.ErrScheme, auth.ErrUnverified, auth.ErrMalformed, auth.ErrScope, auth.ErrOperator} {
		if errors.Is(err, sentinel) {
			return refuse(http.StatusUnauthorized, "", "Invalid authorization header")
		}
	}
	return err
}

// mechanicalName is com.atproto.repo.createRecord → repoCreateRecord, and org.auroralocus.server.getUsage →
// locusServerGetUsage.
func mechanicalName(nsid string) string {
	parts := strings.Split(nsid, ".")
	group, last := parts[len(parts)-2], parts[len(parts)-1]
	if strings.HasPrefix(nsid, ownNamespace) {
		group = "locus" + strings.ToUpper(group[:1]) + group[1:]
	}
	return group + strings.ToUpper(last[:1]) + last[1:]
}

// ownNamespace is before the names of the methods that no other server has.
const ownNamespace = "org.auroralocus."

func ruleName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	name = name[strings.LastIndexByte(strings.TrimSuffix(name, "[...]"), '.')+1:]
	return strings.TrimSuffix(name, "[...]")
}
