package act

import (
	"context"

	"github.com/auroralocus/locus/internal/tenant"
)

// AddNode makes a database of the configuration a node. Errors: those of [tenant.Registry.AddNode].
func (a *TenantActs) AddNode(ctx context.Context, name string, acceptsNew bool, worker string) (tenant.Node, error) {
	return a.tenants.AddNode(ctx, name, acceptsNew, worker)
}

// SetNode says whether new tenants may go to a node. Errors: [tenant.ErrNodeNotFound].
func (a *TenantActs) SetNode(ctx context.Context, name string, acceptsNew bool) (tenant.Node, error) {
	return a.tenants.SetNode(ctx, name, acceptsNew)
}

// RemoveNode forgets a node that has no tenant. Errors: those of [tenant.Registry.RemoveNode].
func (a *TenantActs) RemoveNode(ctx context.Context, name string) error {
	return a.tenants.RemoveNode(ctx, name)
}
