package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actDashboardLink   = "dashboard link"
	actDashboardReset  = "dashboard reset"
	actDashboardEnd    = "dashboard end"
	actDashboardEnter  = "dashboard sign-in"
	actDashboardLeave  = "dashboard sign-out"
	actDashboardAdd    = "dashboard factor add"
	actDashboardRemove = "dashboard factor remove"
)

// DashboardUser is an operator who may use the dashboard, as it is now: one of the deployment, or one of a tenant.
type DashboardUser struct {
	Ref        operator.Ref
	Name       string // what logs call it
	Label      string // what it is called where only people look
	Deployment auth.DeploymentRole
	Role       auth.Role      // of an operator of a tenant; 0: of the deployment
	Tenant     *tenant.Tenant // the only one that it is for; nil: all
}

// DashboardUser looks up an operator. Errors: [operator.ErrNotIn]: there is none any more.
func (a *TenantActs) DashboardUser(ctx context.Context, ref operator.Ref) (DashboardUser, error) {
	if id := ref.Token(); id != "" {
		row, err := a.db.Control().GetOperatorToken(ctx, id)
		if db.IsNoRows(err) || err == nil && row.ExpiresAt != nil && !row.ExpiresAt.After(a.now()) {
			return DashboardUser{}, operator.ErrNotIn
		}
		if err != nil {
			return DashboardUser{}, fmt.Errorf("look for %s: %w", ref, err)
		}
		who := auth.DeploymentOperator{TokenID: row.TokenID, Label: row.Label, Role: auth.DeploymentRole(row.Role)}
		if row.TenantID != nil {
			who.TenantID = *row.TenantID
		}
		return a.deploymentUser(ctx, who)
	}
	id, name := ref.Tenant()
	if id == 0 {
		return DashboardUser{}, operator.ErrNotIn
	}
	t, err := a.tenants.ByID(ctx, id)
	if errors.Is(err, tenant.ErrNotFound) || err == nil && t.Usable() != nil {
		return DashboardUser{}, operator.ErrNotIn
	}
	if err != nil {
		return DashboardUser{}, err
	}
	row, err := a.db.Tenant(t.Schema).Q().GetOperator(ctx, name)
	if db.IsNoRows(err) || db.IsUndefined(err) {
		return DashboardUser{}, operator.ErrNotIn
	}
	if err != nil {
		return DashboardUser{}, fmt.Errorf("look for %s: %w", ref, err)
	}
	return tenantUser(t, auth.Operator{Name: name, Role: auth.Role(row.Role)}), nil
}

func (a *TenantActs) deploymentUser(ctx context.Context, who auth.DeploymentOperator) (DashboardUser, error) {
	u := DashboardUser{Ref: operator.OfToken(who.TokenID), Name: who.Name(), Label: who.Label, Deployment: who.Role}
	if who.Role == auth.DeploymentTenant {
		t, err := a.tenants.ByID(ctx, who.TenantID)
		if errors.Is(err, tenant.ErrNotFound) {
			return DashboardUser{}, operator.ErrNotIn
		}
		if err != nil {
			return DashboardUser{}, err
		}
		u.Tenant = t
	}
	return u, nil
}

func tenantUser(t *tenant.Tenant, who auth.Operator) DashboardUser {
	return DashboardUser{Ref: operator.OfTenant(t.ID, who.Name), Name: who.Name, Label: who.Name, Role: who.Role, Tenant: t}
}

// By is the operator as acts know it. Who runs the whole deployment, or is its own tenant's owner, is every tenant's owner.
func (u DashboardUser) By(address, requestID string) Operator {
	role := u.Role
	switch u.Deployment {
	case auth.DeploymentOwner, auth.DeploymentTenant:
		role = auth.RoleOwner
	case auth.DeploymentSupport, auth.DeploymentBilling:
		role = auth.RoleSupport
	}
	return Operator{Operator: auth.Operator{Name: u.Name, Role: role}, Address: address, RequestID: requestID, Deployment: u.Deployment}
}

// DashboardLink makes a link by which an operator gets into the dashboard once, to set up a second factor. Errors:
// [operator.ErrNotIn]: there is no such operator, [operator.ErrHasFactor].
func (a *TenantActs) DashboardLink(ctx context.Context, by Operator, who operator.Ref) (code string, ends time.Time, err error) {
	u, err := a.DashboardUser(ctx, who)
	if err != nil {
		return "", ends, err
	}
	err = a.onDashboard(ctx, by, u, actDashboardLink, nil, func(q *controldb.Queries, now time.Time) (err error) {
		code, ends, err = operator.NewLink(ctx, q, now, who, by.Name)
		return err
	})
	return code, ends, err
}

// DashboardReset takes all second factors, sessions and links from an operator who has lost them. Errors:
// [operator.ErrNotIn].
func (a *TenantActs) DashboardReset(ctx context.Context, by Operator, who operator.Ref) error {
	u, err := a.DashboardUser(ctx, who)
	if err != nil {
		return err
	}
	return a.onDashboard(ctx, by, u, actDashboardReset, nil, func(q *controldb.Queries, _ time.Time) error {
		return operator.Reset(ctx, q, who)
	})
}

// DashboardClean deletes what is left of an operator who is none any more.
func (a *TenantActs) DashboardClean(ctx context.Context, who operator.Ref) error {
	return a.db.ControlTx(ctx, func(q *controldb.Queries) error { return operator.Reset(ctx, q, who) })
}

// DashboardEnd ends an operator's session by its ID, or all of them but one. Errors: [operator.ErrNotIn].
func (a *TenantActs) DashboardEnd(ctx context.Context, by Operator, who operator.Ref, id string, but *operator.Session) (n int64, err error) {
	u, err := a.DashboardUser(ctx, who)
	if err != nil {
		return 0, err
	}
	err = a.onDashboard(ctx, by, u, actDashboardEnd, nil, func(q *controldb.Queries, _ time.Time) (err error) {
		if id != "" {
			n = 1
			return operator.End(ctx, q, who, id)
		}
		n, err = operator.EndAll(ctx, q, who, but)
		return err
	})
	return n, err
}

// OperatorSessions are the browsers in which an operator is signed in. Errors: [operator.ErrNotIn]: there is no such one.
func (a *TenantActs) OperatorSessions(ctx context.Context, who operator.Ref) ([]operator.Session, error) {
	if _, err := a.DashboardUser(ctx, who); err != nil {
		return nil, err
	}
	return operator.Sessions(ctx, a.db.Control(), a.now(), who)
}

// onDashboard changes something about an operator's way into the dashboard, with its line in the log: the deployment's, or
// that of the tenant whose operator it is.
func (a *TenantActs) onDashboard(ctx context.Context, by Operator, u DashboardUser, action string, detail any, change func(*controldb.Queries, time.Time) error) error {
	now := a.now().UTC().Truncate(time.Microsecond)
	do := func() error {
		return a.db.ControlTx(ctx, func(q *controldb.Queries) error { return change(q, now) })
	}
	d := deed{string(u.Ref), detail}
	tenantID := int64(0)
	if u.Tenant != nil {
		tenantID = u.Tenant.ID
	}
	if by.Deployment != 0 {
		return a.logged(ctx, by, action, tenantID, d, func() (int64, error) { return tenantID, do() })
	}
	err := do()
	outcome := deed{d.subject, map[string]any{"outcome": outcomeOf(err)}}
	if detail != nil && err == nil {
		outcome.detail = detail
	}
	// Also when whoever asked has gone meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, a.db.Tenant(u.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return record(ctx, q, a.now(), by, action, outcome)
	}))
}
