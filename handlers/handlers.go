// Package handlers owns every XRPC method: its name, who may call it, its limits, the code that answers.
//
// A method com.atproto.repo.createRecord is the file repo_create_record.go with the method
// (m repoMethods) createRecord, the types repoCreateRecordInput and repoCreateRecordOutput generated from its
// lexicon, and one line in the namespace's file repo.go, its table of contents. What that line says is the
// whole policy of the method; testdata/access.txt shows all of them on one page.
package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// Deps is what the methods are made from. Each namespace gets what it needs of it, nothing hands Deps on.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
	// Version is what /xrpc/_health says.
	Version string
	Auth    authenticator
	// ByHost says which tenant a Host header names: (*tenant.Registry).ByHost.
	ByHost func(ctx context.Context, host string) (tenant.Match, error)

	Acts      *act.Acts
	DB        *db.DB
	Tenants   *tenant.Registry
	Keys      *keyring.Keyring
	Sessions  *auth.Sessions
	Actors    *accounts.Cache
	Passwords *accounts.Passwords
	Repos     *repodb.Store
	Blobs     *blob.Store
	Pictures  *picture.Maker
	Streams   *firehose.Tails
	Documents *identity.Resolver
	Lexicons  *lexicon.Catalogue
	Clock     *repo.Clock // draws record keys
	Outbox    *outbox.Outbox
	Services  serviceAuthenticator // nil: no method takes service tokens
	Limits    *limit.Counter
	Answers   *fair.Bytes     // nil: DefaultAnswerMemory
	Proxies   inbound.Proxies // whose X-Forwarded-For is believed
}

// namespaces is the table of contents of the whole interface: each line registers one namespace.
func namespaces(g *group, d Deps) {
	mail := tokenMail{d.DB, d.Sessions, d.Outbox, d.Now}
	server := serverMethods{
		acts: d.Acts, db: d.DB, keys: d.Keys, passwords: d.Passwords, sessions: d.Sessions, actors: d.Actors, documents: d.Documents,
		repos: d.Repos, mail: mail, services: d.Services, guard: signinGuard{d.DB, d.Limits, d.Now, &underWay{n: map[string]int{}}}, now: d.Now, log: d.Log,
	}
	server.register(g)
	repoMethods{d.Repos, d.Actors, d.Lexicons, d.Documents, d.Clock, d.Blobs, d.Log}.register(g)
	syncMethods{d.Repos, d.Actors, d.Blobs, newHostCounts(d.DB, d.Now)}.register(g)
	identityMethods{
		acts: d.Acts, db: d.DB, tenants: d.Tenants, keys: d.Keys, actors: d.Actors, documents: d.Documents,
		mail: mail, now: d.Now, log: d.Log,
	}.register(g)
	actorMethods{d.DB, d.Now}.register(g)
	tempMethods{d.DB}.register(g)
	admin := adminMethods{d.Acts, d.DB, d.Now}
	admin.register(g)
	locusServerMethods{server, d.Now}.register(g)
	locusAdminMethods{admin}.register(g)
}

// Server answers HTTP for all tenants.
type Server struct {
	log     *slog.Logger
	now     func() time.Time
	limits  *limit.Counter
	proxies inbound.Proxies
	byHost  func(context.Context, string) (tenant.Match, error)
	mux     *http.ServeMux
	api     huma.API
	ops     map[string]*operation
	answers *fair.Bytes
	// compressed is mux behind the compressor.
	compressed http.Handler
	json       func() []byte
	sockets    *sockets
	seldom     seldom
}

// New assembles the server.
func New(d Deps) *Server { return assemble(d, namespaces) }

func assemble(d Deps, register func(*group, Deps)) *Server {
	s := &Server{log: d.Log, proxies: d.Proxies, now: d.Now, limits: d.Limits, byHost: d.ByHost, mux: http.NewServeMux(), ops: map[string]*operation{}, sockets: newSockets(d.Tenants, d.Proxies, d.Now)}
	bodies := map[reflect.Type]*lexicon.Method{}
	s.answers, s.compressed = d.Answers, compressor(s.mux)
	if s.answers == nil {
		s.answers = fair.NewBytes(DefaultAnswerMemory)
	}
	config := huma.Config{
		OpenAPI:       newDocument(),
		Formats:       map[string]huma.Format{"application/json": jsonBodies(bodies)},
		DefaultFormat: "application/json",
		// Left empty: OpenAPIPath, DocsPath (Huma's pages load from a CDN), SchemasPath and CreateHooks (which
		// would add $schema to every answer).
	}
	config.AllowAdditionalPropertiesByDefault = true // lexicons are open: newer clients send more
	s.api = humago.New(s.mux, config)
	g := &group{api: s.api, auth: d.Auth, ops: s.ops, bodies: bodies, db: d.DB, limits: d.Limits, answers: s.answers, now: d.Now}
	if sa, ok := d.Auth.(serviceAuthenticator); ok {
		g.services = sa
	}
	if d.Services != nil {
		g.services = d.Services
	}
	g.mux, g.streams = s.mux, streamMethods{d.Streams, s.sockets}
	register(g, d)
	finishDocument(s.api.OpenAPI())
	s.json = sync.OnceValue(func() []byte {
		b, err := json.Marshal(s.api.OpenAPI())
		if err != nil {
			panic(fmt.Sprintf("openapi document: %v", err)) // the tests marshal it: cannot happen
		}
		return b
	})
	s.pages()
	s.mux.HandleFunc("GET /subscribe", g.streams.subscribe)
	if d.Pictures != nil {
		imagePages{d.Actors, d.Blobs, d.Pictures}.register(s)
	}
	if d.DB != nil {
		wellKnown{d.Actors, d.DB.Ping, d.Version, d.Log}.register(s.mux)
	}
	s.mux.HandleFunc("/xrpc/", s.unrouted)
	s.mux.HandleFunc("/", notFound)
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r) }

// Run looks after the open streams until ctx ends, and then closes them, each with a code: http.Server.Shutdown does
// neither.
func (s *Server) Run(ctx context.Context) error { return s.sockets.keep(ctx) }
