package admin

import (
	"context"
	"net/http"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// affairOperations are the rarer things that are done to a tenant.
type affairOperations struct {
	acts *act.Acts
	jobs *job.Runner
}

func (o affairOperations) register(g *group) {
	tenantChanger(g, put("/v1/tenants/{tenant}/captcha", "setTenantCaptcha", "Ask people who open an account on a page to show that they are no program.").
		saying("The secret key is stored sealed and shown nowhere."), o.setCaptcha)
	tenantChanger(g, remove("/v1/tenants/{tenant}/captcha", "deleteTenantCaptcha", "Ask them no longer."), o.deleteCaptcha)
	tenantOwner(g, remove("/v1/tenants/{tenant}/names/{name}", "releaseTenantName", "Give a name away that a tenant had before."), o.release)
	tenantOwner(g, post("/v1/tenants/{tenant}/jump", "jumpTenant", "Pass over sequence numbers of a tenant's event stream.").
		saying("For a database that was restored from a backup of all of it: relays remember numbers that it does not have."), o.jump)
	tenantOwner(g, post("/v1/tenants/{tenant}/purge", "purgeTenant", "Remove all that is left of a deleted tenant, also while it could be brought back.").
		saying("Its accounts' DIDs stay as they are. The answer is the job that does it: getJob watches it.").answering(http.StatusAccepted), o.purge)
}

type setCaptchaInput struct {
	TenantPath
	Body struct {
		Kind    string `json:"kind" enum:"hcaptcha,turnstile" doc:"The service."`
		SiteKey string `json:"siteKey" minLength:"1" maxLength:"200" doc:"Its public key for this host."`
		Secret  string `json:"secret" minLength:"1" maxLength:"300" doc:"Its secret key."`
	}
}

func (o affairOperations) setCaptcha(ctx context.Context, c TenantChanger, in *setCaptchaInput) (*noOutput, error) {
	return nil, o.acts.SetCaptcha(ctx, c.Tenant, c.by(), in.Body.Kind, in.Body.SiteKey, in.Body.Secret)
}

func (o affairOperations) deleteCaptcha(ctx context.Context, c TenantChanger, _ *TenantPath) (*noOutput, error) {
	return nil, o.acts.SetCaptcha(ctx, c.Tenant, c.by(), tenant.CaptchaNone, "", "")
}

type releaseInput struct {
	TenantPath
	Name string `path:"name" maxLength:"253" doc:"A name that it had before."`
}

func (o affairOperations) release(ctx context.Context, c TenantOwner, in *releaseInput) (*noOutput, error) {
	_, err := o.acts.ReleaseName(ctx, c.Tenant, c.by(), in.Name)
	return nil, err
}

type jumpInput struct {
	TenantPath
	Body struct {
		By int64 `json:"by,omitempty" minimum:"1" maximum:"1000000000" default:"1000000" doc:"How many numbers."`
	}
}

type jumpOutput struct {
	Body struct {
		NextSeq int64 `json:"nextSeq" doc:"Number of the next event."`
	}
}

func (o affairOperations) jump(ctx context.Context, c TenantOwner, in *jumpInput) (*jumpOutput, error) {
	last, err := o.acts.Jump(ctx, c.Tenant, c.by(), in.Body.By)
	if err != nil {
		return nil, err
	}
	out := new(jumpOutput)
	out.Body.NextSeq = last + 1
	return out, nil
}

type purgeInput struct {
	TenantPath
	Body struct {
		Confirm    string `json:"confirm" maxLength:"253" doc:"The hostname of the tenant that is removed."`
		LeaveFiles bool   `json:"leaveFiles,omitempty" doc:"Leave the files in their stores: for a store that will never answer again."`
	}
}

func (o affairOperations) purge(ctx context.Context, c TenantOwner, in *purgeInput) (*jobOutput, error) {
	t := c.Tenant
	if in.Body.Confirm != t.Hostname {
		return nil, refuse(http.StatusBadRequest, codeInvalid, "confirm must be %s, the hostname of the tenant that is removed", t.Hostname)
	}
	if t.State != tenant.Deleting {
		return nil, refuse(http.StatusConflict, codeState, "%s is %s: only a tenant that was deleted is removed, see deleteTenant", t.Hostname, t.State)
	}
	j, err := o.acts.StartJob(ctx, c.by(), o.jobs, t, act.PurgeTenant(t.ID, c.by(), true, !in.Body.LeaveFiles))
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}
