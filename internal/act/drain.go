package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// JobDrain is the kind of job that moves all tenants of a database elsewhere.
const JobDrain = "node drain"

// Drain is what it is started with.
type Drain struct {
	startedBy
	Node        string `json:"node"`
	To          string `json:"to,omitempty"` // "": of those that take new tenants, each time the one with the fewest
	KeepSeconds int64  `json:"keepSeconds"`
}

// maxDrained bounds the tenants that a drain tells of one by one.
const maxDrained = 2000

// DrainedTenant is what became of one tenant.
type DrainedTenant struct {
	Tenant string `json:"tenant"`
	To     string `json:"to"`
	Job    string `json:"job,omitempty"`
	State  string `json:"state"`
	Error  string `json:"error,omitempty"`
}

// Drained is what came of a drain.
type Drained struct {
	Node    string          `json:"node"`
	Moved   int             `json:"moved"`
	Failed  int             `json:"failed"`
	Tenants []DrainedTenant `json:"tenants"` // the first of them
}

// StartDrain says what is to be done to empty a database. New tenants go there no longer from now on. Errors:
// [tenant.ErrNodeNotFound], [ErrMoveNowhere].
func (a *TenantActs) StartDrain(ctx context.Context, by Operator, node, to string, keep time.Duration) (job.Spec, error) {
	n, err := a.tenants.Node(ctx, node)
	if err == nil && to != "" {
		var there tenant.Node
		if there, err = a.tenants.Node(ctx, to); err == nil && there.ID == n.ID {
			err = fmt.Errorf("%w: a database is not emptied into itself", ErrMoveNowhere)
		}
	}
	if err != nil {
		return job.Spec{}, err
	}
	if _, err := a.SetNode(ctx, by, node, false); err != nil {
		return job.Spec{}, err
	}
	args := Drain{started(by), node, to, int64(keep / time.Second)}
	return job.Spec{Kind: JobDrain, Args: args, By: by.Name, Key: ""}, nil
}

// DrainJob is the work of emptying a database. Each move is a job of its own, done one after the other. A process that
// dies leaves what was moved where it is, and another one goes on with the rest.
func (a *TenantActs) DrainJob(jobs *job.Runner) job.Kind {
	return job.Kind{Name: JobDrain, Work: func(ctx context.Context, r *job.Run) error {
		var args Drain
		if err := r.Args(&args); err != nil {
			return err
		}
		d := &draining{acts: a, jobs: jobs, run: r, args: args}
		return d.work(ctx)
	}}
}

type draining struct {
	acts *TenantActs
	jobs *job.Runner
	run  *job.Run
	args Drain
	out  Drained
}

func (d *draining) work(ctx context.Context) error {
	if err := d.run.State(&d.out); err != nil {
		return err
	}
	d.out.Node = d.args.Node
	n, err := d.acts.tenants.Node(ctx, d.args.Node)
	if err != nil {
		return err
	}
	all, err := d.acts.tenants.List(ctx)
	if err != nil {
		return err
	}
	var here []*tenant.Tenant
	for _, t := range all {
		if t.NodeID == n.ID {
			here = append(here, t)
		}
	}
	done := int64(len(d.out.Tenants))
	total := done + int64(len(here))
	for _, t := range here {
		d.run.Progress("moving "+t.Hostname, done, total)
		one := d.one(ctx, t, n)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if done++; one.Error != "" {
			d.out.Failed++
		} else {
			d.out.Moved++
		}
		if len(d.out.Tenants) < maxDrained {
			d.out.Tenants = append(d.out.Tenants, one)
		}
		if one.Error != "" {
			continue // a next attempt tries it again
		}
		if err := d.run.Save(ctx, d.out); err != nil {
			return err
		}
	}
	return d.run.Result(d.out)
}

// one moves a tenant. When the drain is cancelled the move is, too.
func (d *draining) one(ctx context.Context, t *tenant.Tenant, from tenant.Node) (out DrainedTenant) {
	out = DrainedTenant{Tenant: t.Hostname, To: d.args.To, State: "failed"}
	to, err := d.target(ctx, from)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.To = to
	spec, err := d.acts.StartMove(ctx, t, d.args.operator(), to, time.Duration(d.args.KeepSeconds)*time.Second)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	// Done here, not handed to others: drains that wait would take the places of the moves that they wait for.
	j, err := d.jobs.Do(ctx, spec, nil)
	out.Job, out.State = j.ID, j.State.String()
	if errors.Is(context.Cause(ctx), job.ErrCancelled) && j.ID != "" && !j.Ended() {
		_, _ = d.jobs.Cancel(context.WithoutCancel(ctx), j.ID) // one that ended meanwhile
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

// target is where the next tenant goes.
func (d *draining) target(ctx context.Context, from tenant.Node) (string, error) {
	if d.args.To != "" {
		return d.args.To, nil
	}
	all, err := d.acts.tenants.Nodes(ctx)
	if err != nil {
		return "", err
	}
	var best tenant.Node
	for _, n := range all {
		if n.ID != from.ID && n.AcceptsNew && n.Known && !d.acts.db.Apart(from.ID, n.ID) && (best.ID == 0 || n.Tenants < best.Tenants) {
			best = n
		}
	}
	if best.ID == 0 {
		return "", fmt.Errorf("%w: no other database that this process knows, and that tenants can be moved to from there, takes new ones ('locus node add', 'locus node set NAME accepts_new=on')", tenant.ErrNodeNotFound)
	}
	return best.Name, nil
}
