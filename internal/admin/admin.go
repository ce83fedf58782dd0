// Package admin is the operator API: how programs of those who run a deployment create, configure, watch and bill its
// tenants. It is a face like handlers. Each operation parses, calls one act or one read, and renders.
//
// It is reached on a listener of its own or under a hostname of its own, never under a tenant's. Callers bring a token of
// the deployment. Who may call an operation is said where it is registered, by the function that registers it, and each
// of these hands its handler a caller of another Go type. testdata/access.txt is the whole policy on one page.
package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/tenant"
)

// Config is what the API is made from.
type Config struct {
	DB      *db.DB
	Keys    *keyring.Keyring
	Tenants *tenant.Registry
	Acts    *act.Acts
	Jobs    *job.Runner
	Backups *act.Backups
	Masters *act.MasterKeys
	Proxies inbound.Proxies // whose X-Forwarded-For is believed
	Version string
	Now     func() time.Time
	Log     *slog.Logger
}

// Server answers the operator API.
type Server struct {
	Config
	mux        *http.ServeMux
	operations []*operation
	named      map[string]*operation // by the mux's pattern
	rates      *limit.Callers
	repeats    repeats
	group      *group
	document   func() []byte
	watchers   *watchers
}

// New registers all operations.
func New(c Config) *Server {
	s := &Server{Config: c, mux: http.NewServeMux(), named: map[string]*operation{}, rates: limit.NewCallers(c.Now), watchers: newWatchers()}
	s.repeats = repeats{c.DB, c.Keys, c.Now}
	s.group = newGroup(s)
	s.register(s.group)
	finish(s.group.api.OpenAPI())
	s.document = sync.OnceValue(func() []byte {
		b, err := json.Marshal(s.group.api.OpenAPI())
		if err != nil {
			panic("operator document: " + err.Error()) // the tests marshal it: cannot happen
		}
		return b
	})
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.document())
	})
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, refuse(http.StatusNotFound, codeNotFound, "there is no such operation: GET /openapi.json describes all"))
	})
	return s
}

// register is the table of contents: each line registers the operations of one thing.
func (s *Server) register(g *group) {
	tenantOperations{s.Acts, s.DB, s.Tenants, s.Now}.register(g)
	lifeOperations{s.Acts, s.Jobs, s.Now}.register(g)
	backupOperations{s.Backups, s.Jobs}.register(g)
	affairOperations{s.Acts, s.Jobs}.register(g)
	placingOperations{s.Acts, s.Jobs, s.Tenants}.register(g)
	sqlOperations{s.Acts, s.DB}.register(g)
	quotaOperations{s.Acts, s.DB, s.Now}.register(g)
	usageOperations{s.DB, s.Now}.register(g)
	jobOperations{s.Acts, s.Jobs, s.watchers}.register(g)
	nodeOperations{s.Acts, s.DB, s.Tenants}.register(g)
	tokenOperations{s.Acts, s.DB, s.Tenants}.register(g)
	keyOperations{s.Masters, s.Jobs, make(chan struct{}, 1)}.register(g)
	deploymentOperations{s.DB, s.Version}.register(g)
}

// YAML is the document; openapi/operator.yaml is this, committed.
func (s *Server) YAML() ([]byte, error) { return s.group.api.OpenAPI().YAML() }

// ServeHTTP answers one request, whatever its Host.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.arrive(w, r)
	defer c.recover(w)
	h := w.Header()
	h.Set("X-Request-Id", c.requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r.WithContext(c.in(r.Context())))
}

// Name is what a request is called here, and whether its answer is a stream. It says nothing of whom it is about.
func (s *Server) Name(r *http.Request) (name string, stream bool) {
	_, pattern := s.mux.Handler(r)
	if op := s.named[pattern]; op != nil {
		return "operator " + op.id, op.stream
	}
	return "operator other", false
}

// Under lets face answer requests for hostname, and hands all others to h: a tenant's name never leads here.
func Under(hostname string, face, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		if strings.EqualFold(strings.TrimSuffix(host, "."), hostname) {
			face.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Run forgets answers that are kept no longer, until ctx ends. Streams of news end with it.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.watchers.end)
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		if err := s.repeats.forget(ctx); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			s.Log.Warn("answers kept for a day cannot be deleted; another try in an hour", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
