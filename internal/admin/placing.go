package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// placingOperations say which database tenants live in.
type placingOperations struct {
	acts    *act.Acts
	jobs    *job.Runner
	tenants *tenant.Registry
}

func (o placingOperations) register(g *group) {
	const watch = "The answer is the job that does it: getJob watches it, and cancelJob takes it back."
	tenantOwner(g, post("/v1/tenants/{tenant}/move", "moveTenant", "Move a tenant to another database while it is served.").
		saying("Writers wait for a moment at the end. "+watch).answering(http.StatusAccepted), o.move)
	tenantOwner(g, post("/v1/tenants/{tenant}/place", "placeTenant", "See that a tenant is in a database: move it there unless it is.").
		saying("The answer has a job where it has to be moved."), o.place)
	owner(g, post("/v1/nodes/{node}/drain", "drainNode", "Move all tenants of a database to others, one after the other, and let no new ones come.").
		saying(watch).answering(http.StatusAccepted), o.drain)
}

// MoveWish says where a tenant goes.
type MoveWish struct {
	To        string `json:"to" minLength:"1" maxLength:"80" doc:"Name of the node that it goes to: see listNodes."`
	KeepHours int    `json:"keepHours,omitempty" minimum:"0" maximum:"8760" default:"24" doc:"How long the copy that is left behind is kept, which nobody reads; 0 drops it at once."`
}

func (w MoveWish) keep() time.Duration { return time.Duration(w.KeepHours) * time.Hour }

type moveTenantInput struct {
	TenantPath
	Body MoveWish
}

func (o placingOperations) start(ctx context.Context, c TenantOwner, w MoveWish) (*jobOutput, error) {
	spec, err := o.acts.StartMove(ctx, c.Tenant, c.by(), w.To, w.keep())
	if err != nil {
		return nil, err
	}
	j, err := o.acts.StartJob(ctx, c.by(), o.jobs, c.Tenant, spec)
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}

func (o placingOperations) move(ctx context.Context, c TenantOwner, in *moveTenantInput) (*jobOutput, error) {
	return o.start(ctx, c, in.Body)
}

type placeOutput struct {
	Body struct {
		There bool `json:"there" doc:"The tenant is in this database already."`
		Job   *Job `json:"job,omitempty" doc:"What moves it there."`
	}
}

func (o placingOperations) place(ctx context.Context, c TenantOwner, in *moveTenantInput) (*placeOutput, error) {
	n, err := o.tenants.Node(ctx, in.Body.To)
	if err != nil {
		return nil, err
	}
	out := new(placeOutput)
	if out.Body.There = n.ID == c.Tenant.NodeID; out.Body.There {
		return out, nil
	}
	j, err := o.start(ctx, c, in.Body)
	if err != nil {
		return nil, err
	}
	out.Body.Job = &j.Body
	return out, nil
}

type drainNodeInput struct {
	NodePath
	Body struct {
		To        string `json:"to,omitempty" maxLength:"80" doc:"Node that all go to. Left out: of those that take new tenants, each to the one with the fewest."`
		KeepHours int    `json:"keepHours,omitempty" minimum:"0" maximum:"8760" default:"24" doc:"How long the copies that are left behind are kept; 0 drops them at once."`
	}
}

func (o placingOperations) drain(ctx context.Context, c OwnerCaller, in *drainNodeInput) (*jobOutput, error) {
	spec, err := o.acts.StartDrain(ctx, c.by(), in.Node, in.Body.To, time.Duration(in.Body.KeepHours)*time.Hour)
	if err != nil {
		return nil, err
	}
	j, err := o.acts.StartDeploymentJob(ctx, c.by(), o.jobs, in.Node, spec)
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}
