package xrpc

import (
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
)

// Reply is what a path answers while its tenant is not there for people.
type Reply uint8

// The replies.
const (
	Refuses Reply = iota // with the error of the tenant's state
	Serves               // as always
	Says                 // the same as Refuses, in its own form: a page, an error of OAuth
)

func (r Reply) String() string {
	return [...]string{"refuses", "serves", "says"}[r]
}

// Standing is what stands of a path while its tenant is suspended, and after it was deleted. What is in no line refuses.
type Standing struct {
	Path               string // as it was registered, without the verb
	Suspended, Deleted Reply
	Why                string
}

// in is the line's reply in a state.
func (l Standing) in(s tenant.State) Reply {
	switch s {
	case tenant.Suspended:
		return l.Suspended
	case tenant.Deleting:
		return l.Deleted
	}
	return Serves
}

// SaysAway lets requests for a page's path reach it while their tenant is not there: the page looks at its State, and
// says so in its own form.
func SaysAway(g *Group, path string) {
	Stands(g, Standing{Path: path, Suspended: Says, Deleted: Says, Why: "says so in its own form"})
}

// Stands adds a line of what registers itself.
func Stands(g *Group, l Standing) { g.away[l.Path] = l }

// Away is the tenant's error while it is not there for people.
func (v Visitor) Away() error {
	switch v.Tenant.State {
	case tenant.Suspended:
		return tenant.ErrTenantSuspended
	case tenant.Deleting:
		return tenant.ErrTenantDeleted
	}
	return nil
}

// standing is what stands of the path that a request goes to.
func (s *Server) standing(r *http.Request) Standing {
	_, pattern := s.mux.Handler(r)
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = path
	}
	return s.away[pattern]
}

// Standings are all lines, of what was registered.
func (s *Server) Standings() map[string]Standing { return s.away }

// Former is the name that a request called the tenant by, where it is one that it had before.
func (v Visitor) Former() (tenant.Former, bool) { return v.state.Was() }

// Called is the tenant under the name that the request called it by: for answers that are about that name.
func (v Visitor) Called() *tenant.Tenant {
	if f, ok := v.Former(); ok {
		return v.Tenant.As(f)
	}
	return v.Tenant
}

// formerPaths are what is answered in place under a former name. Clients would not follow a redirect there, or would
// leave their token behind.
var formerPaths = []string{"/xrpc/", "/.well-known/", "/oauth/jwks", "/oauth/par", "/oauth/token", "/oauth/revoke"}

// forwards sends a request that came under a former name to the tenant's own, unless it is answered in place. Streams go
// on in place until the last account says that it is at the new name: relays would take its events from nowhere else.
func forwards(st *state, w http.ResponseWriter, r *http.Request) bool {
	f, ok := st.Was()
	if !ok {
		return false
	}
	stream := r.Header.Get("Upgrade") != ""
	if stream && f.Since.IsZero() {
		return false
	}
	if !stream {
		for _, path := range formerPaths {
			if strings.HasPrefix(r.URL.Path, path) {
				return false
			}
		}
	}
	w.Header().Set("Location", st.PublicURL+r.URL.RequestURI())
	w.Header().Set("Cache-Control", "max-age=3600")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.WriteHeader(http.StatusPermanentRedirect)
	} else {
		w.WriteHeader(http.StatusSeeOther) // forms are refused when they come from another origin
	}
	return true
}
