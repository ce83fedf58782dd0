package xrpc

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/tenant"
)

// The gate: every XRPC method is registered by exactly one of the functions of registrars.go. Inside one call the order is parameters, caller, body, rule, handler: a malformed parameter beats
// a missing token, and a missing token beats a malformed body (spec: behaviour of the reference server).

// Operation is a registered method.
type Operation struct {
	Declaration
	Method
	Class string          // the registering function: public, viewer, account …
	rule  RuleText        // of methods that accounts call
	asked *lexicon.Method // what its requests must be
	text  methodText
	// establish finds the caller; it runs once, after the parameters and before the body.
	establish func(context.Context, *call) error
}

// Group is what methods are registered on.
type Group struct {
	api           huma.API
	auth          Authenticator
	services      ServiceAuthenticator // nil: no method may take service tokens
	limits        *limit.Counter       // nil: nothing is counted
	answers       *fair.Bytes
	now           func() time.Time
	ops           map[string]*Operation
	bodies        map[reflect.Type]*lexicon.Method // by the type of an Input's Body
	mux           *http.ServeMux                   // for what is not Huma's: subscriptions and pages
	tables        *Tables
	Sockets       *Sockets
	refusedCall   func(http.ResponseWriter, *http.Request)
	wrongOperator func(ctx context.Context, t *tenant.Tenant, network string)
	refused       func(context.Context, OperatorCaller, string, any, *Error) error
	JSON          func() []byte // the interface as JSON, once all methods are in
	others        *Others       // the server's
	away          map[string]Standing
	pages         *[]string // patterns of what is no method
}

// register is the one way to Huma.
func register[C, I, O any](g *Group, d Declaration, class string, rule RuleText, establish func(context.Context, *call) (C, error), may func(C, *I) error, h func(context.Context, C, *I) (*O, error)) {
	lex := g.declares(d, reflect.TypeFor[I]().Name())
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
	op := &Operation{Declaration: d, Method: lex, Class: class, rule: rule, text: g.tables.text(d.NSID), asked: lexicon.Default().Method(d.NSID)}
	if body, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		if g.bodies[body.Type] != nil {
			panic(d.NSID + ": another method has the same body")
		}
		g.bodies[body.Type] = op.asked
	}
	op.establish = func(ctx context.Context, c *call) error {
		caller, err := establish(ctx, c)
		if err == nil && rule.Early {
			err = may(caller, nil)
		}
		if err == nil {
			c.caller = &caller
			c.state.identified(c.caller)
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
		if may != nil && !rule.Early {
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

// declares is the method that a declaration is of. A declaration that cannot be right panics: it is the programmer's
// mistake, and every start and every test meets it.
func (g *Group) declares(d Declaration, input string) Method {
	lex, ok := g.tables.Lexicons[d.NSID]
	switch {
	case !ok:
		panic(d.NSID + ": no such lexicon in the catalogue")
	case lex.Kind != d.verb:
		panic(fmt.Sprintf("%s is called by %s", d.NSID, lex.Kind.Verb()))
	case g.ops[d.NSID] != nil:
		panic(d.NSID + ": registered twice")
	case input != mechanicalName(d.NSID)+"Input":
		panic(fmt.Sprintf("%s: its input is %sInput, not %s", d.NSID, mechanicalName(d.NSID), input))
	}
	return lex
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
