package console

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
)

// class is who may open a page or send a form.
type class struct {
	name     string
	open     bool                  // also for people who are not signed in
	setup    bool                  // also for those who came by a link and have no second factor yet
	roles    []auth.DeploymentRole // of the deployment's operators
	least    auth.Role             // of the tenant's own operators, at least; 0: none of them
	ofTenant bool                  // its path names a tenant
}

// The classes. Those of whole pages of the deployment are as the operator API's.
var (
	anybody  = class{name: "anybody", open: true, setup: true}
	newcomer = class{name: "signed in, also without a second factor", setup: true, roles: auth.DeploymentRoles, least: auth.RoleSupport}
	member   = class{name: "signed in", roles: auth.DeploymentRoles, least: auth.RoleSupport}
	owner    = class{name: "owner", roles: []auth.DeploymentRole{auth.DeploymentOwner}}
	support  = class{name: "support", roles: []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport}}
	billing  = class{name: "billing", roles: []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport, auth.DeploymentBilling}}

	// Of a tenant.
	keeper    = class{name: "tenant keeper", roles: []auth.DeploymentRole{auth.DeploymentOwner}, ofTenant: true}
	suspender = class{name: "tenant suspender", roles: []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport}, ofTenant: true}
	biller    = class{name: "tenant biller", roles: auth.DeploymentRoles, least: auth.RoleSupport, ofTenant: true}
	supporter = ofRole(auth.RoleSupport)
	moderator = ofRole(auth.RoleModerator)
	admin     = ofRole(auth.RoleAdmin)
	master    = ofRole(auth.RoleOwner)
)

// ofRole is for who has a role in the tenant, or a higher one. The deployment's owner, and who was given the whole tenant,
// are its owners; the deployment's support is the tenant's support. See [act.DashboardUser.By].
func ofRole(least auth.Role) class {
	c := class{name: "tenant " + least.String(), roles: []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentTenant}, least: least, ofTenant: true}
	if least == auth.RoleSupport {
		c.roles = []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport, auth.DeploymentTenant}
	}
	return c
}

// allows says whether an operator's role is enough.
func (c class) allows(u *act.DashboardUser) bool {
	if u.Deployment != 0 {
		return slices.Contains(c.roles, u.Deployment)
	}
	return c.least != 0 && u.Role >= c.least
}

// page is one address.
type page struct {
	verb, path string
	class      class
	action     string // of a form, as the log names it when it is refused
	h          func(*Visit) error
}

// get registers a page.
func (s *Server) get(path string, c class, h func(*Visit) error) {
	s.add(&page{verb: http.MethodGet, path: path, class: c, h: h})
}

// post registers what a form is sent to. Only forms that were sent from a page of ours reach h; v.Form is what they hold.
func (s *Server) post(path string, c class, h func(*Visit) error) {
	s.add(&page{verb: http.MethodPost, path: path, class: c, action: "dashboard POST " + path, h: h})
}

func (s *Server) add(p *page) {
	if p.class.ofTenant != strings.Contains(p.path, "{tenant}") {
		panic(p.path + ": its path and its class do not agree whether it is about one tenant")
	}
	s.pages = append(s.pages, p)
	s.mux.HandleFunc(p.verb+" "+p.path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, p) })
}

// Access is who may do what: testdata/access.txt.
func (s *Server) Access() string {
	var lines []string
	for _, p := range s.pages {
		lines = append(lines, fmt.Sprintf("%-60s %-5s %-42s %s\n", p.path, p.verb, p.class.name, p.class.who()))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

// who names the roles of a class.
func (c class) who() string {
	if c.open {
		return "everybody"
	}
	var of []string
	for _, r := range c.roles {
		name := "deployment " + r.String()
		if r == auth.DeploymentTenant {
			name = "one tenant's token"
		}
		of = append(of, name)
	}
	for r := auth.RoleSupport; c.least != 0 && r <= auth.RoleOwner; r++ {
		if r >= c.least {
			of = append(of, "tenant's "+r.String())
		}
	}
	return strings.Join(of, ", ")
}

// The classes by which a template asks what to offer: {{if .May .Keeper}}.

func (*View) Owner() class     { return owner }
func (*View) Support() class   { return support }
func (*View) Keeper() class    { return keeper }
func (*View) Suspender() class { return suspender }
func (*View) Supporter() class { return supporter }
func (*View) Moderator() class { return moderator }
func (*View) Admin() class     { return admin }
func (*View) Master() class    { return master }
