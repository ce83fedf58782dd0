package admin

import (
	"context"
	"slices"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

// Caller is who calls an operation, by a token that is good. Every other caller is one too.
type Caller struct {
	auth.DeploymentOperator
	address   string
	requestID string
}

// by is the caller as acts know it.
func (c Caller) by() act.Operator {
	role := auth.RoleOwner
	if c.Role == auth.DeploymentSupport || c.Role == auth.DeploymentBilling {
		role = auth.RoleSupport
	}
	return act.Operator{Operator: auth.Operator{Name: c.Name(), Role: role}, Address: c.address, RequestID: c.requestID, Deployment: c.Role}
}

// The callers. Each registrar hands its handlers another of these types, so an operation that is given too little
// protection does not compile.
type (
	// OwnerCaller may do everything.
	OwnerCaller struct{ Caller }
	// SupportCaller may read everything.
	SupportCaller struct{ Caller }
	// BillingCaller may read what tenants use.
	BillingCaller struct{ Caller }

	// TenantReader may read the tenant.
	TenantReader struct {
		Caller
		Tenant *tenant.Tenant
	}
	// TenantChanger may change what is the tenant's own affair.
	TenantChanger struct {
		Caller
		Tenant *tenant.Tenant
	}
	// TenantSuspender may suspend and resume the tenant.
	TenantSuspender struct {
		Caller
		Tenant *tenant.Tenant
	}
	// TenantBiller may read what the tenant uses.
	TenantBiller struct {
		Caller
		Tenant *tenant.Tenant
	}
	// TenantOwner may do everything with the tenant.
	TenantOwner struct {
		Caller
		Tenant *tenant.Tenant
	}
)

// class is who may call an operation.
type class struct {
	name   string
	roles  []auth.DeploymentRole
	tenant bool // its path names one; a token of role tenant is for that one only
}

var (
	anybodyClass   = class{"anybody", auth.DeploymentRoles, false}
	ownerClass     = class{"owner", []auth.DeploymentRole{auth.DeploymentOwner}, false}
	supportClass   = class{"support", []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport}, false}
	billingClass   = class{"billing", []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport, auth.DeploymentBilling}, false}
	readerClass    = class{"tenant reader", []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport, auth.DeploymentTenant}, true}
	changerClass   = class{"tenant changer", []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentTenant}, true}
	suspenderClass = class{"tenant suspender", []auth.DeploymentRole{auth.DeploymentOwner, auth.DeploymentSupport}, true}
	billerClass    = class{"tenant biller", auth.DeploymentRoles, true}
	keeperClass    = class{"tenant owner", []auth.DeploymentRole{auth.DeploymentOwner}, true}
)

// allows says whether a caller may call, of a tenant with that number.
func (c class) allows(who auth.DeploymentOperator) bool { return slices.Contains(c.roles, who.Role) }

// The registrars.

func anybody[I, O any](g *group, d declaration, h func(context.Context, Caller, *I) (*O, error)) {
	register(g, d, anybodyClass, func(c *call) Caller { return c.caller }, h)
}

func owner[I, O any](g *group, d declaration, h func(context.Context, OwnerCaller, *I) (*O, error)) {
	register(g, d, ownerClass, func(c *call) OwnerCaller { return OwnerCaller{c.caller} }, h)
}

func support[I, O any](g *group, d declaration, h func(context.Context, SupportCaller, *I) (*O, error)) {
	register(g, d, supportClass, func(c *call) SupportCaller { return SupportCaller{c.caller} }, h)
}

func billing[I, O any](g *group, d declaration, h func(context.Context, BillingCaller, *I) (*O, error)) {
	register(g, d, billingClass, func(c *call) BillingCaller { return BillingCaller{c.caller} }, h)
}

func tenantReader[I, O any](g *group, d declaration, h func(context.Context, TenantReader, *I) (*O, error)) {
	register(g, d, readerClass, func(c *call) TenantReader { return TenantReader{c.caller, c.tenant} }, h)
}

func tenantChanger[I, O any](g *group, d declaration, h func(context.Context, TenantChanger, *I) (*O, error)) {
	register(g, d, changerClass, func(c *call) TenantChanger { return TenantChanger{c.caller, c.tenant} }, h)
}

func tenantSuspender[I, O any](g *group, d declaration, h func(context.Context, TenantSuspender, *I) (*O, error)) {
	register(g, d, suspenderClass, func(c *call) TenantSuspender { return TenantSuspender{c.caller, c.tenant} }, h)
}

func tenantBiller[I, O any](g *group, d declaration, h func(context.Context, TenantBiller, *I) (*O, error)) {
	register(g, d, billerClass, func(c *call) TenantBiller { return TenantBiller{c.caller, c.tenant} }, h)
}

func tenantOwner[I, O any](g *group, d declaration, h func(context.Context, TenantOwner, *I) (*O, error)) {
	register(g, d, keeperClass, func(c *call) TenantOwner { return TenantOwner{c.caller, c.tenant} }, h)
}
