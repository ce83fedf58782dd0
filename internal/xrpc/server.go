package xrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/errgroup"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/tenant"
)

// Config is what a server is made from.
type Config struct {
	Log *slog.Logger
	Now func() time.Time
	// ByHost says which tenant a Host header names: (*tenant.Registry).ByHost.
	ByHost   func(ctx context.Context, host string) (tenant.Match, error)
	Auth     Authenticator
	Services ServiceAuthenticator // nil: no method takes service tokens
	Tenants  *tenant.Registry     // whose streams end with them; nil: tenants do not change
	Limits   *limit.Counter       // nil: nothing is counted
	Answers  *fair.Bytes          // nil: DefaultAnswerMemory
	Proxies  inbound.Proxies      // whose X-Forwarded-For is believed
	Tables   Tables

	// Observe is told of every answer, and does not keep what it is handed. nil: nobody is.
	Observe func(*Answered)
	// Used is told of every request that a tenant was asked, and of the bytes that it was sent, those of streams as they
	// go. nil: nobody is.
	Used func(t *tenant.Tenant, requests, bytes int64, at time.Time)
	// Failed hears of the errors that a tenant's methods end with. nil: nobody does.
	Failed func(t *tenant.Tenant, err error)
	// RefusedCaller hears of callers that were refused before their body was read. nil: nobody does.
	RefusedCaller func(http.ResponseWriter, *http.Request)
	// WrongOperator is told of a password or token that is no operator's of the tenant, and from which network it came. nil:
	// nobody is.
	WrongOperator func(ctx context.Context, t *tenant.Tenant, network string)
	// RefusedAct writes down that an operator's procedure was tried and did not happen; in is its input, nil when the
	// body was not read. nil: nothing is written.
	RefusedAct func(ctx context.Context, c OperatorCaller, method string, in any, answer *Error) error
}

// Tables are what is said of the methods besides their registration.
type Tables struct {
	Lexicons     map[string]Method // every method of the catalogue that has types
	Limits       map[string]LimitRule
	Rules        map[string]RuleText    // by the name of the function
	Errors       map[string][]ErrorKind // that the lexicons do not name
	Summaries    map[string]string      // one line each, for the document
	Words        Words                  // everything else that the document says
	Translations []Translation          // the first match counts; what is not in it is 500 and says nothing
	Away         []Standing             // what is answered while a tenant is not there for people

	rare []error // of the translations, those of which the log has one line a minute
}

func (t *Tables) text(nsid string) methodText {
	return methodText{summary: t.Summaries[nsid], errors: t.Errors[nsid], when: func(name string) string { return t.Words.When(nsid, name) }}
}

// Server answers HTTP for all tenants.
type Server struct {
	Log        *slog.Logger
	now        func() time.Time
	limits     *limit.Counter
	proxies    inbound.Proxies
	byHost     func(context.Context, string) (tenant.Match, error)
	mux        *http.ServeMux
	api        huma.API
	Operations map[string]*Operation
	answers    *fair.Bytes
	door       *fair.Door
	// compressed is mux behind the compressor.
	compressed http.Handler
	sockets    *Sockets
	seldom     seldom
	tables     Tables
	document   func() []byte
	others     Others
	nonce      func(context.Context, *tenant.Tenant) []string // DPoP-Nonce
	away       map[string]Standing                            // by path
	// Pages are the patterns of what is no method.
	Pages   []string
	observe func(*Answered)
	used    func(t *tenant.Tenant, requests, bytes int64, at time.Time)
	failed  func(t *tenant.Tenant, err error)
}

// New makes a server of the methods and pages that register puts on its group.
func New(c Config, register func(*Group)) *Server {
	door := fair.NewDoor(fair.Processors)
	s := &Server{
		door: door,
		Log:  c.Log, now: c.Now, limits: c.Limits, proxies: c.Proxies, byHost: c.ByHost, mux: http.NewServeMux(), Operations: map[string]*Operation{}, away: map[string]Standing{},
		answers: c.Answers, sockets: newSockets(c.Tenants, c.Proxies, door, c.Now), tables: c.Tables, observe: c.Observe, used: c.Used, failed: c.Failed,
	}
	s.compressed = compressor(s.mux)
	if c.Auth != nil {
		s.nonce = c.Auth.Nonce
	}
	if s.answers == nil {
		s.answers = fair.NewBytes(DefaultAnswerMemory)
	}
	for _, t := range s.tables.Translations {
		if t.seldom {
			s.tables.rare = append(s.tables.rare, t.sentinel)
		}
	}
	bodies := map[reflect.Type]*lexicon.Method{}
	config := huma.Config{
		OpenAPI:       newDocument(),
		Formats:       map[string]huma.Format{"application/json": jsonBodies(bodies)},
		DefaultFormat: "application/json",
		// Left empty: OpenAPIPath, DocsPath (Huma's pages load from a CDN), SchemasPath and CreateHooks (which
		// would add $schema to every answer).
	}
	config.AllowAdditionalPropertiesByDefault = true // lexicons are open: newer clients send more
	s.api = humago.New(s.mux, config)
	g := &Group{
		api: s.api, auth: c.Auth, services: c.Services, limits: s.limits, answers: s.answers, now: s.now, ops: s.Operations, bodies: bodies,
		mux: s.mux, tables: &s.tables, Sockets: s.sockets, refusedCall: c.RefusedCaller, refused: c.RefusedAct, wrongOperator: c.WrongOperator, JSON: s.JSON,
		others: &s.others, away: s.away, pages: &s.Pages,
	}
	s.document = sync.OnceValue(func() []byte {
		b, err := json.Marshal(s.api.OpenAPI())
		if err != nil {
			panic(fmt.Sprintf("openapi document: %v", err)) // the tests marshal it: cannot happen
		}
		return b
	})
	for _, l := range s.tables.Away {
		s.away[l.Path] = l
	}
	s.sockets.standing = func(v Visitor) Standing { return s.standing(v.state.req) }
	register(g)
	finishDocument(s.api.OpenAPI())
	s.tables.Words.describe(s.api.OpenAPI())
	s.mux.HandleFunc("/xrpc/", s.unrouted)
	s.mux.HandleFunc("/", notFound)
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r) }

// Run looks after the open streams until ctx ends, and then closes them, each with a code: http.Server.Shutdown does
// neither. Until then it looks after the door, too.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.door.Run(ctx) })
	group.Go(func() error { return s.sockets.keep(ctx) })
	return group.Wait()
}

// DoorStats says how many requests are at work, and how many of a tenant may be.
func (s *Server) DoorStats() fair.Stats { return s.door.Stats() }
