package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// lifeOperations switch tenants off and on, rename and delete them. Each is a job: it tells relays of every account.
type lifeOperations struct {
	acts *act.Acts
	jobs *job.Runner
	now  func() time.Time
}

func (o lifeOperations) register(g *group) {
	const watch = " The answer is the job that does it: getJob watches it."
	tenantSuspender(g, post("/v1/tenants/{tenant}/suspend", "suspendTenant", "Switch a tenant off, and tell its relays.").saying("Nothing is lost."+watch).answering(http.StatusAccepted), o.suspend)
	tenantSuspender(g, post("/v1/tenants/{tenant}/resume", "resumeTenant", "Switch a suspended tenant on again.").saying(watch[1:]).answering(http.StatusAccepted), o.resume)
	tenantOwner(g, post("/v1/tenants/{tenant}/rename", "renameTenant", "Give a tenant another hostname, which must lead here already.").
		saying("The DIDs of its accounts are changed one after the other. The old name goes on leading there."+watch).answering(http.StatusAccepted), o.rename)
	tenantOwner(g, post("/v1/tenants/{tenant}/delete", "deleteTenant", "Take a tenant out of service, to be removed for good after a time of grace.").
		saying("Until then undeleteTenant brings it back."+watch).answering(http.StatusAccepted), o.remove)
	tenantOwner(g, post("/v1/tenants/{tenant}/undelete", "undeleteTenant", "Bring back a deleted tenant.").saying(watch[1:]).answering(http.StatusAccepted), o.bringBack)
}

func (o lifeOperations) start(ctx context.Context, c Caller, t *tenant.Tenant, spec job.Spec) (*jobOutput, error) {
	if err := t.Usable(); err != nil {
		return nil, err
	}
	j, err := o.acts.StartJob(ctx, c.by(), o.jobs, t, spec)
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}

// WhyTenant says why a tenant is suspended.
type WhyTenant struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why, for operators."`
}

type suspendTenantInput struct {
	TenantPath
	Body *WhyTenant
}

func (o lifeOperations) suspend(ctx context.Context, c TenantSuspender, in *suspendTenantInput) (*jobOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return o.start(ctx, c.Caller, c.Tenant, act.SuspendTenant(c.Tenant, c.by(), reason))
}

func (o lifeOperations) resume(ctx context.Context, c TenantSuspender, _ *TenantPath) (*jobOutput, error) {
	return o.start(ctx, c.Caller, c.Tenant, act.ResumeTenant(c.Tenant, c.by()))
}

type renameTenantInput struct {
	TenantPath
	Body struct {
		To          string `json:"to" minLength:"1" maxLength:"253" doc:"The new hostname."`
		MoveHandles bool   `json:"moveHandles,omitempty" doc:"Handles under the old hostname move to the new one. Otherwise they stay as they are."`
		Rate        int    `json:"rate,omitempty" minimum:"1" maximum:"100" default:"5" doc:"Operations a second that the PLC directory gets."`
	}
}

func (o lifeOperations) rename(ctx context.Context, c TenantOwner, in *renameTenantInput) (*jobOutput, error) {
	spec, err := act.RenameTenant(c.Tenant, c.by(), in.Body.To, in.Body.MoveHandles, in.Body.Rate)
	if err != nil {
		return nil, err
	}
	return o.start(ctx, c.Caller, c.Tenant, spec)
}

type deleteTenantInput struct {
	TenantPath
	Body struct {
		Confirm    string `json:"confirm" maxLength:"253" doc:"The hostname once more."`
		GraceHours int    `json:"graceHours,omitempty" minimum:"1" maximum:"87600" default:"168" doc:"How long it can be undone."`
		Reason     string `json:"reason,omitempty" maxLength:"500" doc:"Why, for operators."`
	}
}

func (o lifeOperations) remove(ctx context.Context, c TenantOwner, in *deleteTenantInput) (*jobOutput, error) {
	if in.Body.Confirm != c.Tenant.Hostname {
		return nil, refuse(http.StatusBadRequest, codeInvalid, "confirm must be %s, the hostname of the tenant that is deleted", c.Tenant.Hostname)
	}
	at := o.now().Add(time.Duration(in.Body.GraceHours) * time.Hour)
	return o.start(ctx, c.Caller, c.Tenant, act.DeletionOf(c.Tenant, c.by(), in.Body.Reason, at))
}

func (o lifeOperations) bringBack(ctx context.Context, c TenantOwner, _ *TenantPath) (*jobOutput, error) {
	return o.start(ctx, c.Caller, c.Tenant, act.UndeleteTenant(c.Tenant, c.by()))
}
