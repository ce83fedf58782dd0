// Package console is the dashboard: pages on which operators see and run a deployment, and each tenant's operators their
// tenant. It is a face like the operator API and the command line. Each page parses, calls one act or one read, and renders.
//
// It is served under /admin where machines ask about a process, never under a tenant's host. The operators are those that
// there are already, the deployment's tokens and the tenants' operators; what they may do is said where a page is
// registered, by its class. testdata/access.txt is the whole policy on one page.
//
// To add a page: see "A page of the dashboard" in ARCHITECTURE.md.
package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/tenant"
)

// Root is the path of the dashboard.
const Root = "/admin"

// Config is what the dashboard is made from.
type Config struct {
	DB      *db.DB
	Tenants *tenant.Registry
	Acts    *act.Acts
	Jobs    *job.Runner
	Backups *act.Backups    // nil: there are none
	Masters *act.MasterKeys // nil: nothing is said of them
	Proxies inbound.Proxies // whose X-Forwarded-For is believed
	Process int64           // this process's number among those that serve; 0: it is not among them
	// URL is where browsers find it, as https://admin.example.com. "": by http, at an address or as localhost.
	URL     string
	Version string
	Now     func() time.Time
	Log     *slog.Logger
}

// Server answers for the dashboard.
type Server struct {
	Config
	mux    *http.ServeMux
	pages  []*page
	rates  *limit.Callers
	codes  *codes
	errand chan struct{} // requests of people who are not signed in

	perPage int // tenants
}

// errands is how many requests of strangers are answered at once. Others wait for none of them.
const errands = 8

// New registers all pages.
func New(c Config) *Server {
	c.URL = strings.TrimSuffix(c.URL, "/")
	s := &Server{Config: c, mux: http.NewServeMux(), rates: limit.NewCallers(c.Now), codes: newCodes(c.Now), errand: make(chan struct{}, errands), perPage: tenantsPerPage}
	s.mux.HandleFunc("GET "+assetPath+"{name}", serveAsset)
	s.register()
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, lostPage) })
	return s
}

// register is the table of contents: each line registers the pages of one thing.
func (s *Server) register() {
	s.registerEntrance()
	s.registerOwn()
	s.registerOverview()
	s.registerTenants()
	s.registerJobs()
	s.registerUsage()
	s.registerBackups()
	s.registerRecovery()
	s.registerOperators()
	s.registerAudit()
	s.registerOneTenant()
}

// lostPage is for addresses where there is none.
var lostPage = &page{class: anybody, h: func(*Visit) error { return notFound }}

// CheckURL refuses what cannot be the dashboard's address. Errors say why.
func CheckURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Host != strings.ToLower(u.Host) {
		return errors.New("it is an origin in lower case, such as https://admin.example.com")
	}
	return nil
}

// origin is where the browser found us; "": where it must not.
func (s *Server) origin(r *http.Request) string {
	if s.URL != "" {
		if _, host, _ := strings.Cut(s.URL, "://"); r.Host != host {
			return ""
		}
		return s.URL
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	// Any other name may be one that somebody else has led to this address.
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
		return ""
	}
	return "http://" + r.Host
}

// ServeHTTP answers one request for [Root] or below.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Root && !strings.HasPrefix(r.URL.Path, Root+"/") {
		http.NotFound(w, r)
		return
	}
	if s.origin(r) == "" {
		settle(w.Header(), false)
		why := "The dashboard is not served under this name. At an address or as localhost it is; --dashboard-url (LOCUS_DASHBOARD_URL) gives it a name."
		if s.URL != "" {
			why = "The dashboard is at " + s.URL + Root
		}
		http.Error(w, why, http.StatusMisdirectedRequest)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Name is what a request is called here: a page, by its pattern. It says nothing of whom it is about.
func (s *Server) Name(r *http.Request) string {
	_, pattern := s.mux.Handler(r)
	if pattern == "" || pattern == "/" {
		return "dashboard other"
	}
	return "dashboard " + pattern
}

// forgetEvery is how often what has ended is deleted.
const forgetEvery = 10 * time.Minute

// Run forgets sessions that have ended, until ctx does.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		if err := s.Acts.ForgetDashboard(ctx); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			s.Log.Warn("sessions of the dashboard that have ended cannot be deleted; another try in ten minutes", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
