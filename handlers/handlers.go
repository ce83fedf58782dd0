// Package handlers owns every XRPC method: its name, who may call it, its limits, the few lines that answer. What is the
// same for all methods is internal/xrpc.
//
// A method com.atproto.repo.createRecord is the file repo_create_record.go with the method
// (m repoMethods) createRecord, the types repoCreateRecordInput and repoCreateRecordOutput generated from its
// lexicon, and one line in the namespace's file repo.go, its table of contents. What that line says is the
// whole policy of the method; testdata/access.txt shows all of them on one page.
package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// Deps is what the methods are made from. Each namespace gets what it needs of it, nothing hands Deps on.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
	// Version is what /xrpc/_health says.
	Version string
	Auth    xrpc.Authenticator
	// ByHost says which tenant a Host header names: (*tenant.Registry).ByHost.
	ByHost func(ctx context.Context, host string) (tenant.Match, error)

	Acts      *act.Acts
	DB        *db.DB
	Tenants   *tenant.Registry
	Keys      *keyring.Keyring
	Actors    *account.Cache
	Repos     *repodb.Store
	Blobs     *blob.Blobs
	Pictures  *picture.Maker
	Streams   *firehose.Tails
	Documents *identity.Resolver
	Lexicons  *lexicon.Catalogue
	Clock     *repo.Clock               // draws record keys
	Services  xrpc.ServiceAuthenticator // nil: no method takes service tokens
	Limits    *limit.Counter
	Answers   *fair.Bytes     // nil: DefaultAnswerMemory
	Proxies   inbound.Proxies // whose X-Forwarded-For is believed
	Proxy     *proxy.Proxy    // nil: no other service is called
	// Merged are methods of the app view whose answers are completed here: each does the call.
	Merged map[string]func(context.Context, *proxy.Call) (*proxy.Answer, error)

	// Pages registers what people see; nil: nothing but the methods is served.
	Pages func(*xrpc.Group)

	// Usage meters the tenants, and knows which are at a quota; nil: nothing is counted.
	Usage *usage.Meter

	// Observe is told of every answer: xrpc.Config.Observe.
	Observe func(*xrpc.Answered)

	refusedCaller func(http.ResponseWriter, *http.Request) // for tests
}

// namespaces is the table of contents of the whole interface: each line registers one namespace.
func namespaces(g *xrpc.Group, d Deps) {
	serverMethods{
		acts: d.Acts, db: d.DB, keys: d.Keys, documents: d.Documents, repos: d.Repos, now: d.Now, log: d.Log,
	}.register(g)
	repoMethods{
		db: d.DB, repos: d.Repos, actors: d.Actors, lexicons: d.Lexicons, documents: d.Documents, keys: d.Clock, blobs: d.Blobs, usage: d.Usage, log: d.Log,
	}.register(g)
	streams := streamMethods{d.Streams, g.Sockets}
	syncMethods{repos: d.Repos, actors: d.Actors, blobs: d.Blobs, hosts: newHostCounts(d.DB, d.Now), streams: streams}.register(g)
	xrpc.Page(g, "GET /subscribe", streams.subscribe)
	identityMethods{
		acts: d.Acts, db: d.DB, tenants: d.Tenants, keys: d.Keys, actors: d.Actors, documents: d.Documents, log: d.Log,
	}.register(g)
	actorMethods{d.Acts, d.DB, d.Proxy, d.Now}.register(g)
	moderationNamespace{d.Proxy}.register(g)
	tempMethods{d.DB}.register(g)
	adminMethods{d.Acts, d.DB, d.Now}.register(g)
	locusServerMethods{d.Acts, d.DB, d.Now}.register(g)
	locusAdminMethods{d.Acts, d.DB, d.Now}.register(g)
}

// New assembles the server.
func New(d Deps) *xrpc.Server { return assemble(d, namespaces) }

func assemble(d Deps, register func(*xrpc.Group, Deps)) *xrpc.Server {
	c := xrpc.Config{
		Log: d.Log, Now: d.Now, ByHost: d.ByHost, Auth: d.Auth, Services: d.Services, Tenants: d.Tenants, Limits: d.Limits, Answers: d.Answers, Proxies: d.Proxies, Observe: d.Observe, RefusedCaller: d.refusedCaller,
		Tables: xrpc.Tables{Lexicons: lexicons, Limits: limitRules, Rules: rules, Errors: moreErrors, Summaries: summaries, Words: documentWords, Translations: translations, Away: standings},
	}
	if d.Usage != nil {
		c.Used = d.Usage.Count
		c.Failed = func(t *tenant.Tenant, err error) { noteQuota(d.Usage, t, err) }
	}
	if sa, ok := d.Auth.(xrpc.ServiceAuthenticator); ok && c.Services == nil {
		c.Services = sa
	}
	if d.Acts != nil {
		c.WrongOperator = d.Acts.FailedTenantOperator
	}
	if d.DB != nil {
		c.RefusedAct = refusedActs{d.DB, d.Now}.insert
	}
	return xrpc.New(c, func(g *xrpc.Group) {
		register(g, d)
		(&proxied{d.Proxy, d.Auth, d.Merged}).register(g)
		pages(g)
		if d.Pages != nil {
			d.Pages(g)
		}
		if d.Pictures != nil {
			imagePages{d.Actors, d.Blobs, d.Pictures}.register(g)
		}
		if d.DB != nil {
			wellKnown{d.Actors, d.DB.Ping, d.Version, d.Log}.register(g)
		}
	})
}
