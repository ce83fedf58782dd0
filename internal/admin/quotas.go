package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
)

// quotaOperations are /v1/tenants/{tenant}/quotas.
type quotaOperations struct {
	acts *act.Acts
	db   *db.DB
	now  func() time.Time
}

func (o quotaOperations) register(g *group) {
	tenantReader(g, get("/v1/tenants/{tenant}/quotas", "getQuotas", "Show a tenant's quotas, and which it has reached."), o.get)
	tenantOwner(g, put("/v1/tenants/{tenant}/quotas", "setQuotas", "Set a tenant's quotas: all of them, those that are left out to no limit.").
		saying("What there is beyond a new quota stays. Reading, deleting and moving away are never refused."), o.set)
}

// Quotas of a tenant; 0 is no limit.
type Quotas struct {
	Accounts    int64 `json:"accounts" minimum:"0" maximum:"1099511627776" doc:"Accounts. 0: no limit."`
	Records     int64 `json:"records" minimum:"0" maximum:"1152921504606846976" doc:"Records of all accounts. 0: no limit."`
	Bytes       int64 `json:"bytes" minimum:"0" maximum:"1152921504606846976" doc:"Bytes of records and files together. 0: no limit."`
	RequestsDay int64 `json:"requestsPerDay" minimum:"0" maximum:"1125899906842624" doc:"Requests on a day (UTC). 0: no limit."`
}

// NewQuotas are those to be set: what is left out is no limit.
type NewQuotas struct {
	Accounts    int64 `json:"accounts,omitempty" minimum:"0" maximum:"1099511627776" doc:"Accounts."`
	Records     int64 `json:"records,omitempty" minimum:"0" maximum:"1152921504606846976" doc:"Records of all accounts."`
	Bytes       int64 `json:"bytes,omitempty" minimum:"0" maximum:"1152921504606846976" doc:"Bytes of records and files together."`
	RequestsDay int64 `json:"requestsPerDay,omitempty" minimum:"0" maximum:"1125899906842624" doc:"Requests on a day (UTC)."`
}

type quotasOutput struct {
	Body struct {
		Quotas  Quotas   `json:"quotas" doc:"What the tenant may have."`
		Reached []string `json:"reached" doc:"Those that it ran into today or yesterday."`
	}
}

func (o quotaOperations) get(ctx context.Context, c TenantReader, _ *TenantPath) (*quotasOutput, error) {
	return o.of(ctx, c.Tenant)
}

func (o quotaOperations) of(ctx context.Context, t *tenant.Tenant) (*quotasOutput, error) {
	reached, err := usage.Reached(ctx, o.db, []int64{t.ID}, o.now())
	if err != nil {
		return nil, err
	}
	s := &t.Settings
	out := new(quotasOutput)
	out.Body.Quotas = Quotas{s.AccountTenantCount, s.RecordTenantCount, s.StorageTenantBytes, s.RequestTenantDay}
	out.Body.Reached = append([]string{}, reached[t.ID]...)
	return out, nil
}

type setQuotasInput struct {
	TenantPath
	Body NewQuotas
}

func (o quotaOperations) set(ctx context.Context, c TenantOwner, in *setQuotasInput) (*quotasOutput, error) {
	patch := map[string]string{}
	for key, value := range map[string]int64{
		"account_tenant_count": in.Body.Accounts, "record_tenant_count": in.Body.Records,
		"storage_tenant_bytes": in.Body.Bytes, "request_tenant_day": in.Body.RequestsDay,
	} {
		patch[key] = strconv.FormatInt(value, 10)
	}
	t, err := o.acts.SetTenant(ctx, c.Tenant, c.by(), patch, "")
	if err != nil {
		return nil, err
	}
	return o.of(ctx, t)
}
