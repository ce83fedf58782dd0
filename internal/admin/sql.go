package admin

import (
	"context"
	"net/http"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
)

// sqlOperations are the logins by which tenants' owners read their data by SQL.
type sqlOperations struct {
	acts *act.Acts
	db   *db.DB
}

func (o sqlOperations) register(g *group) {
	tenantReader(g, get("/v1/tenants/{tenant}/sql", "getTenantSQL", "Show whether the owner of a tenant has a login to Postgres."), o.get)
	tenantOwner(g, post("/v1/tenants/{tenant}/sql", "enableTenantSQL", "Give the owner of a tenant a login to Postgres that reads the tenant's views and nothing else.").
		saying("Again: a new password. It is in this answer and never again.").answering(http.StatusCreated), o.enable)
	tenantOwner(g, remove("/v1/tenants/{tenant}/sql", "disableTenantSQL", "Take the login away and end its connections."), o.disable)
	owner(g, post("/v1/roles", "makeTenantRoles", "Make the roles in Postgres by which --tenant-roles keeps tenants apart."), o.roles)
}

// SQLLogin is a tenant's login to Postgres.
type SQLLogin struct {
	Enabled bool   `json:"enabled" doc:"There is one."`
	Role    string `json:"role" doc:"Its name."`
}

type sqlOutput struct{ Body SQLLogin }

func (o sqlOperations) get(ctx context.Context, c TenantReader, _ *TenantPath) (*sqlOutput, error) {
	role, there, err := o.db.Shared(ctx, c.Tenant.Schema)
	if err != nil {
		return nil, err
	}
	return &sqlOutput{SQLLogin{there, role}}, nil
}

// NewSQLLogin is a login with its password.
type NewSQLLogin struct {
	Role     string `json:"role" doc:"Its name."`
	Password string `json:"password" doc:"Shown this once: Postgres keeps a verifier."`
}

type newSQLOutput struct{ Body NewSQLLogin }

func (o sqlOperations) enable(ctx context.Context, c TenantOwner, _ *TenantPath) (*newSQLOutput, error) {
	role, password, err := o.acts.Share(ctx, c.Tenant, c.by())
	if err != nil {
		return nil, err
	}
	return &newSQLOutput{NewSQLLogin{role, password}}, nil
}

func (o sqlOperations) disable(ctx context.Context, c TenantOwner, _ *TenantPath) (*noOutput, error) {
	return nil, o.acts.Unshare(ctx, c.Tenant, c.by())
}

type rolesInput struct {
	Body *struct {
		Again bool `json:"again,omitempty" doc:"Also grant anew what roles have already."`
	}
}

type rolesOutput struct {
	Body struct {
		Made  int   `json:"made" doc:"Roles that were missing."`
		Seen  int   `json:"seen" doc:"Tenants looked at."`
		Total int64 `json:"total" doc:"Tenants there are."`
	}
}

func (o sqlOperations) roles(ctx context.Context, c OwnerCaller, in *rolesInput) (*rolesOutput, error) {
	made, err := o.acts.MakeRoles(ctx, c.by(), in.Body != nil && in.Body.Again)
	if err != nil {
		return nil, err
	}
	out := new(rolesOutput)
	out.Body.Made, out.Body.Seen, out.Body.Total = made.Made, made.Seen, made.Total
	return out, nil
}
