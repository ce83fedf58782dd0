package console

import (
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
)

// registerAudit is the page of the deployment's log.
func (s *Server) registerAudit() {
	s.get(Root+"/audit", support, (*Visit).audit)
}

// auditPerPage is how many lines are listed.
const auditPerPage = 50

// auditPage is a page of a log.
type auditPage struct {
	Who, Action, Tenant, Since string
	Lines                      []auditLine
	Next                       string
}

type auditLine struct {
	audit.DeploymentEntry
	Tenant string
}

// What is what exactly was done, as people read it.
func (l auditLine) What() []said { return plainly(l.Detail) }

func (v *Visit) audit() error {
	p := &auditPage{Who: v.Query("who"), Action: v.Query("action"), Tenant: v.Query("tenant"), Since: v.Query("since")}
	f := audit.DeploymentFilter{Who: p.Who, Action: p.Action, Before: v.Query("before")}
	if f.Before != "" && !audit.IsID(f.Before) || !audit.Searchable(f.Who) || !audit.Searchable(f.Action) {
		return notFound
	}
	bad := func(err error) error {
		v.wrong, _ = problemOf(v.ctx(), err)
		return v.Show(v.wrong.status, "audit", p)
	}
	if p.Since != "" {
		var err error
		if f.Since, err = time.Parse(time.DateOnly, p.Since); err != nil {
			return bad(&problem{status: 400, title: "The day cannot be so", text: "It is a day like 2026-01-31."})
		}
	}
	if p.Tenant != "" {
		t, err := v.s.Tenants.Get(v.ctx(), p.Tenant)
		if err != nil {
			return bad(err)
		}
		f.TenantID = t.ID
	}
	list, more, err := audit.ListDeployment(v.ctx(), v.s.DB.Control(), f, auditPerPage, func(role int16) string { return auth.DeploymentRole(role).String() })
	if err != nil {
		return err
	}
	for _, e := range list {
		l := auditLine{DeploymentEntry: e}
		if t, err := v.s.Tenants.ByID(v.ctx(), e.TenantID); e.TenantID != 0 && err == nil {
			l.Tenant = t.Hostname
		}
		p.Lines = append(p.Lines, l)
	}
	if more {
		p.Next = v.with("before", list[len(list)-1].ID)
	}
	return v.Show(http.StatusOK, "audit", p)
}
