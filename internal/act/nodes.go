package act

import (
	"context"

	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// AddNode makes a database of the configuration a node. Errors: those of [tenant.Registry.AddNode].
func (a *TenantActs) AddNode(ctx context.Context, by Operator, name string, acceptsNew bool, worker string) (n tenant.Node, err error) {
	detail := map[string]any{"acceptsNew": acceptsNew, "worker": worker}
	err = a.logged(ctx, by, "node add", 0, deed{name, detail}, func() (int64, error) {
		n, err = a.tenants.AddNode(ctx, name, acceptsNew, worker)
		return 0, err
	})
	return n, err
}

// SetNode says whether new tenants may go to a node. Errors: [tenant.ErrNodeNotFound].
func (a *TenantActs) SetNode(ctx context.Context, by Operator, name string, acceptsNew bool) (n tenant.Node, err error) {
	err = a.logged(ctx, by, "node set", 0, deed{name, map[string]any{"acceptsNew": acceptsNew}}, func() (int64, error) {
		n, err = a.tenants.SetNode(ctx, name, acceptsNew)
		return 0, err
	})
	return n, err
}

// RemoveNode forgets a node that has no tenant. Errors: those of [tenant.Registry.RemoveNode].
func (a *TenantActs) RemoveNode(ctx context.Context, by Operator, name string) error {
	return a.logged(ctx, by, "node remove", 0, deed{name, nil}, func() (int64, error) {
		return 0, a.tenants.RemoveNode(ctx, name)
	})
}

// StartJob has some process begin long work on a tenant, and writes down who wanted it; what comes of it is the job's to
// tell. Errors: [job.ErrBusy].
func (a *TenantActs) StartJob(ctx context.Context, by Operator, jobs *job.Runner, t *tenant.Tenant, spec job.Spec) (j job.Job, err error) {
	err = a.logged(ctx, by, spec.Kind, t.ID, deed{t.Hostname, map[string]any{"begun": true}}, func() (int64, error) {
		j, err = jobs.Start(ctx, spec)
		return t.ID, err
	})
	return j, err
}

// StartDeploymentJob is the same of work that is no tenant's; subject is what it is about.
func (a *TenantActs) StartDeploymentJob(ctx context.Context, by Operator, jobs *job.Runner, subject string, spec job.Spec) (j job.Job, err error) {
	err = a.logged(ctx, by, spec.Kind, 0, deed{subject, map[string]any{"begun": true}}, func() (int64, error) {
		j, err = jobs.Start(ctx, spec)
		return 0, err
	})
	return j, err
}
