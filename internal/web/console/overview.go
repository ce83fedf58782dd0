package console

import (
	"net/http"

	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/due"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
)

// registerOverview are the pages that say how the deployment is: the first one, the doctor's findings, and its facts.
func (s *Server) registerOverview() {
	s.get(Root+"/overview", support, (*Visit).overview)
	s.get(Root+"/findings", support, (*Visit).findings)
	s.post(Root+"/findings", support, (*Visit).askDoctor)
	s.get(Root+"/settings", support, (*Visit).settings)
}

// overviewPage is the deployment at a glance.
type overviewPage struct {
	Tenants   int
	States    []stateCount
	Processes []process.Process
	Nodes     []tenant.Node
	Due       []due.State
	Open      []job.Job
	Limits    []limited
	Doctor    doctor.Last
	Never     bool // it has not looked

	// What the servers that run have refused since each started. Old is true where one is of a version that does not say.
	Refused process.Refused
	Old     bool
}

type stateCount struct {
	tenant.State
	N   int
	Tag string
}

// limited is a tenant that ran into a limit lately.
type limited struct {
	Hostname, Path string
	Quotas         []string
}

// blindShown is how many checks are named that could not look.
const blindShown = 100

// limitsShown is how many tenants at a limit are named.
const limitsShown = 20

func (v *Visit) overview() (err error) {
	p := new(overviewPage)
	all, err := v.s.Tenants.List(v.ctx())
	if err != nil {
		return err
	}
	p.Tenants = len(all)
	by := map[tenant.State]int{}
	ids := make([]int64, len(all))
	for i, t := range all {
		by[t.State]++
		ids[i] = t.ID
	}
	for s := tenant.Provisioning; s.String() != "unknown"; s++ {
		if by[s] > 0 {
			p.States = append(p.States, stateCount{s, by[s], stateTag(s)})
		}
	}
	reached, err := usage.Reached(v.ctx(), v.s.DB, ids, v.s.Now())
	if err != nil {
		return err
	}
	for _, t := range all {
		if q := reached[t.ID]; len(q) > 0 && len(p.Limits) < limitsShown {
			p.Limits = append(p.Limits, limited{t.Hostname, tenantPath(t.Hostname), q})
		}
	}
	if p.Processes, err = process.Alive(v.ctx(), v.s.DB, v.s.Now()); err != nil {
		return err
	}
	p.Refused, p.Old = v.refused(p.Processes)
	if p.Nodes, err = v.s.Tenants.Nodes(v.ctx()); err != nil {
		return err
	}
	if p.Due, err = due.States(v.ctx(), v.s.DB, v.s.Now()); err != nil {
		return err
	}
	if p.Open, err = v.s.Jobs.List(v.ctx(), job.Filter{Open: true, Max: jobsShown}); err != nil {
		return err
	}
	if p.Doctor, p.Never, err = doctor.ReadLast(v.ctx(), v.s.DB); err != nil {
		return err
	}
	return v.Show(http.StatusOK, "overview", p)
}

// refused adds up what the servers have refused. Of the others that is as of their last beats, of this one as of now.
func (v *Visit) refused(all []process.Process) (sum process.Refused, old bool) {
	own := process.Refused{People: v.s.Acts.FailedSignins(), Operators: v.s.Acts.FailedOperators()}
	listed := false
	for i := range all {
		if all[i].ID == v.s.Process {
			all[i].Refused, listed = &own, true
		}
	}
	sum, known := process.AllRefused(all)
	if !listed {
		sum.People += own.People
		sum.Operators += own.Operators
	}
	return sum, !known
}

// findingsPage is what the servers' doctor found when it looked last.
type findingsPage struct {
	doctor.Last
	Never   bool
	Results []doctor.Result // that have findings
	Blind   []doctor.Result // that could not look
}

func (v *Visit) findings() error {
	last, never, err := doctor.ReadLast(v.ctx(), v.s.DB)
	if err != nil {
		return err
	}
	p := &findingsPage{Last: last, Never: never}
	for _, r := range last.Results {
		if r.NotLookedAt != "" && len(p.Blind) < blindShown {
			p.Blind = append(p.Blind, r)
		}
		if len(r.Findings) > 0 {
			p.Results = append(p.Results, r)
		}
	}
	return v.Show(http.StatusOK, "findings", p)
}

func (v *Visit) askDoctor() error {
	if err := v.s.Acts.AskDoctor(v.ctx(), v.By()); err != nil {
		return err
	}
	return v.Done(Root+"/findings", "A server looks within a minute, unless the nightly look is switched off (--doctor-hour).")
}

// settingsPage explains what can be set of a tenant, and says what is true of the deployment.
type settingsPage struct {
	Facts  tenant.Deployment
	Noted  bool
	Fields []settingField
}

type settingField struct {
	tenant.Field
	Owner bool // only the deployment's owner changes it
}

func (v *Visit) settings() (err error) {
	p := new(settingsPage)
	if p.Facts, p.Noted, err = tenant.ReadDeployment(v.ctx(), v.s.DB); err != nil {
		return err
	}
	for _, f := range tenant.Fields() {
		p.Fields = append(p.Fields, settingField{f, tenant.OfDeployment(f.Key)})
	}
	return v.Show(http.StatusOK, "settings", p)
}
