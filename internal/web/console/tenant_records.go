package console

import (
	"net/http"

	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/doctor"
)

// registerRecords is what is kept about a tenant: its log, and what the doctor found.
func (s *Server) registerRecords() {
	s.look("/log", admin, (*Visit).log)
	s.look("/health", supporter, (*Visit).health)
}

// logPerPage is how many entries are listed.
const logPerPage = 50

// logPage is a page of a tenant's log, newest first.
type logPage struct {
	Who, Action, Subject string
	Entries              []audit.Entry
	ahead
}

func (v *Visit) log() error {
	p := &logPage{Who: v.sought("who"), Action: v.sought("action"), Subject: v.sought("subject")}
	f := audit.Filter{Who: p.Who, Action: p.Action, Subject: p.Subject}
	if after := v.Query("after"); audit.IsID(after) {
		f.After = after
	}
	list, more, err := audit.Newest(v.ctx(), v.q(), f, logPerPage, roleName)
	if err != nil {
		return err
	}
	next := ""
	if more && len(list) > 0 {
		next = list[len(list)-1].ID
	}
	p.Entries, p.ahead = list, v.goes("/log", "after", f.After, next)
	return v.Show(http.StatusOK, "tenant_log", p)
}

// healthPage is what the servers' own doctor found about a tenant when it looked last.
type healthPage struct {
	Never   bool
	Last    doctor.Last
	Results []doctor.Result // of the tenant, with findings
	Checks  int             // of the tenant, that are kept
	Blind   []doctor.Result // those that could not look
}

// Looked is how many checks could look.
func (p *healthPage) Looked() int { return p.Checks - len(p.Blind) }

// Tag is how a severity is shown.
func (*healthPage) Tag(s doctor.Severity) string {
	if s == doctor.Error {
		return "error"
	}
	return "warning"
}

func (v *Visit) health() error {
	p := new(healthPage)
	var err error
	if p.Last, p.Never, err = doctor.ReadLast(v.ctx(), v.s.DB); err != nil {
		return err
	}
	for _, r := range p.Last.Results {
		if r.Group != v.Tenant.Hostname {
			continue
		}
		p.Checks++
		if r.NotLookedAt != "" {
			p.Blind = append(p.Blind, r)
		}
		if len(r.Findings) > 0 {
			p.Results = append(p.Results, r)
		}
	}
	return v.Show(http.StatusOK, "tenant_health", p)
}
