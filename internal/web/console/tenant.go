package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// registerTenant is the first page of one tenant, and what its operators and the deployment's do with it as a whole.
func (s *Server) registerTenant() {
	const at = Root + "/t/{tenant}"
	s.get(at, biller, (*Visit).tenant)
	s.post(at+"/suspend", suspender, func(v *Visit) error {
		return v.start(act.SuspendTenant(v.Tenant, v.By(), v.Form.Text("reason")), "suspended")
	})
	s.post(at+"/resume", suspender, func(v *Visit) error { return v.start(act.ResumeTenant(v.Tenant, v.By()), "switched on again") })
	s.post(at+"/rename", keeper, (*Visit).renameTenant)
	s.post(at+"/move", keeper, (*Visit).moveTenant)
	s.post(at+"/clone", keeper, (*Visit).cloneTenant)
	s.post(at+"/delete", keeper, (*Visit).deleteTenant)
	s.post(at+"/undelete", keeper, func(v *Visit) error { return v.start(act.UndeleteTenant(v.Tenant, v.By()), "brought back") })
	s.post(at+"/purge", keeper, (*Visit).purgeTenant)
	s.post(at+"/release", keeper, (*Visit).releaseName)
}

// tenantPage is what the first page of a tenant shows.
type tenantPage struct {
	listedTenant
	Life   tenant.Life
	Jobs   []job.Job
	Node   string        // the database that it is in
	Nodes  []tenant.Node // that it could be in, for who may move it
	Copies bool          // it can be copied here
}

// Elsewhere are the databases that the tenant could move to.
func (p tenantPage) Elsewhere() []tenant.Node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), func(n tenant.Node) bool { return n.ID == p.NodeID || !n.Known })
}

// The states, for the template.
func (p tenantPage) Served() bool    { return p.State == tenant.Active || p.State == tenant.Moving }
func (p tenantPage) Suspended() bool { return p.State == tenant.Suspended }
func (p tenantPage) Deleted() bool   { return p.State == tenant.Deleting }

// jobsShown is how many jobs of a tenant its first page has.
const jobsShown = 5

func (v *Visit) tenant() error { return v.tenantAs(http.StatusOK) }

func (v *Visit) tenantAs(status int) error {
	list, err := v.asked([]*tenant.Tenant{v.Tenant})
	if err != nil {
		return err
	}
	p := &tenantPage{listedTenant: list[0]}
	if p.Life, err = v.s.Tenants.Life(v.ctx(), v.Tenant); err != nil {
		return err
	}
	if p.Jobs, err = v.s.Jobs.List(v.ctx(), job.Filter{TenantID: v.Tenant.ID, Max: jobsShown}); err != nil {
		return err
	}
	if v.May(keeper) {
		p.Copies = v.s.Backups != nil
		if p.Nodes, err = v.s.Tenants.Nodes(v.ctx()); err != nil {
			return err
		}
		for _, n := range p.Nodes {
			if n.ID == p.NodeID {
				p.Node = n.Name
			}
		}
	}
	return v.Show(status, "tenant", p)
}

// start begins a job of the tenant. It goes on whoever looks.
func (v *Visit) start(spec job.Spec, done string) error {
	err := v.Tenant.Usable()
	if err == nil {
		_, err = v.s.Acts.StartJob(v.ctx(), v.By(), v.s.Jobs, v.Tenant, spec)
	}
	if err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	return v.Done(v.TenantPath(""), "%s is being %s: the job below says how far it is.", v.Tenant.Hostname, done)
}

var errConfirm = &problem{status: http.StatusBadRequest, title: "Not confirmed", text: "Type the tenant's hostname to confirm that it is the right one. Nothing was done."}

// plcRate is how many operations a second the directory of DIDs gets in a rename, unless something else is asked for.
const plcRate = 5

func (v *Visit) renameTenant() error {
	rate, err := v.integer("rate", plcRate)
	if err == nil && rate == 0 {
		err = act.ErrRate
	}
	if err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	if err := v.s.Tenants.CheckHostname(v.Form.Text("to")); err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	spec, err := act.RenameTenant(v.Tenant, v.By(), v.Form.Text("to"), v.Form.On("move_handles"), int(rate))
	if err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	return v.start(spec, "renamed")
}

// mostKept bounds how long the copy is kept that a move leaves behind, in hours.
const mostKept = 8760

func (v *Visit) moveTenant() error {
	hours, err := strconv.Atoi(v.Form.Text("keep"))
	if err != nil || hours < 0 || hours > mostKept {
		return v.refusedForm(&problem{status: 400, title: "The copy cannot be kept so long", text: "It is 0 to 8760 hours."}, v.tenantAs)
	}
	spec, err := v.s.Acts.StartMove(v.ctx(), v.Tenant, v.By(), v.Form.Text("node"), time.Duration(hours)*time.Hour)
	if err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	return v.start(spec, "moved")
}

func (v *Visit) cloneTenant() error {
	if v.s.Backups == nil {
		return v.refusedForm(&problem{status: 409, title: "No copies here", text: "This process makes none."}, v.tenantAs)
	}
	err := v.Tenant.Usable()
	var spec job.Spec
	if err == nil {
		spec, err = v.s.Backups.StartClone(v.ctx(), v.By(), v.Tenant, v.Form.Text("hostname"), v.Form.Text("node"))
	}
	if errors.Is(err, act.ErrLiving) {
		err = &problem{status: 409, title: "There is such a tenant already", text: "Enter another hostname for the copy."}
	}
	if err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	return v.start(spec, "copied")
}

// The time of grace of a deletion, in hours.
const (
	graceHours = 168
	mostGrace  = 87600
)

func (v *Visit) deleteTenant() error {
	if v.Form.Text("confirm") != v.Tenant.Hostname {
		return v.refusedForm(errConfirm, v.tenantAs)
	}
	hours, err := strconv.Atoi(v.Form.Text("grace"))
	if err != nil || hours < 1 || hours > mostGrace {
		return v.refusedForm(&problem{status: 400, title: "The time of grace cannot be so", text: "It has 1 to 87600 hours."}, v.tenantAs)
	}
	return v.start(act.DeletionOf(v.Tenant, v.By(), v.Form.Text("reason"), v.s.Now().Add(time.Duration(hours)*time.Hour)), "deleted")
}

func (v *Visit) purgeTenant() error {
	if v.Form.Text("confirm") != v.Tenant.Hostname {
		return v.refusedForm(errConfirm, v.tenantAs)
	}
	if v.Tenant.State != tenant.Deleting {
		return v.refusedForm(&problem{status: 409, title: "It is not deleted", text: "Only a tenant that was deleted is removed for good."}, v.tenantAs)
	}
	return v.start(act.PurgeTenant(v.Tenant.ID, v.By(), true, !v.Form.On("leave_files")), "removed for good")
}

func (v *Visit) releaseName() error {
	name := v.Form.Text("name")
	if _, err := v.s.Acts.ReleaseName(v.ctx(), v.Tenant, v.By(), name); err != nil {
		return v.refusedForm(err, v.tenantAs)
	}
	return v.Done(v.TenantPath(""), "%s is given away.", name)
}

// Moving says whether one of some jobs has not ended: the page is looked at again.
func (v *Visit) Moving(jobs []job.Job) bool {
	return slices.ContainsFunc(jobs, func(j job.Job) bool { return !j.Ended() })
}
