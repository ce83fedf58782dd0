package act

import (
	"context"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
)

// NewToken is what is said of an operator's new token. A Life of 0 is until it is revoked.
type NewToken struct {
	Label string
	Life  time.Duration
}

func (n NewToken) insert(ctx context.Context, q *tenantdb.Queries, now time.Time, name string, token auth.OperatorToken) error {
	var end *time.Time
	if n.Life > 0 {
		end = new(now.Add(n.Life))
	}
	return auth.InsertOperatorToken(ctx, q, now, name, token, n.Label, end)
}

// AddOperator names an operator and gives its first token. Nothing of the dashboard is left to it by another who had its
// name before. Errors: [auth.ErrOperatorName], [auth.ErrOperatorTaken].
func (a *Acts) AddOperator(ctx context.Context, t *tenant.Tenant, by Operator, name string, role auth.Role, n NewToken) (token auth.OperatorToken, err error) {
	token = auth.NewOperatorToken()
	detail := map[string]string{"role": role.String(), "token": token.ID}
	err = a.onOperators(ctx, t, by, "operator add", deed{name, detail}, func(q *tenantdb.Queries, now time.Time) error {
		if err := auth.InsertOperator(ctx, q, now, name, role, by.Name); err != nil {
			return err
		}
		if err := a.DashboardClean(ctx, operator.OfTenant(t.ID, name)); err != nil {
			return err
		}
		return n.insert(ctx, q, now, name, token)
	})
	return token, err
}

// SetOperatorRole changes what an operator may do, at once. Errors: [auth.ErrOperatorNotFound].
func (a *Acts) SetOperatorRole(ctx context.Context, t *tenant.Tenant, by Operator, name string, role auth.Role) error {
	return a.onOperators(ctx, t, by, "operator role", deed{name, map[string]string{"role": role.String()}}, func(q *tenantdb.Queries, _ time.Time) error {
		return auth.SetOperatorRole(ctx, q, name, role)
	})
}

// RemoveOperator removes an operator, its tokens, and what let it into the dashboard: second factors, sessions and links.
// Errors: [auth.ErrOperatorNotFound].
func (a *Acts) RemoveOperator(ctx context.Context, t *tenant.Tenant, by Operator, name string) error {
	return a.onOperators(ctx, t, by, "operator remove", deed{name, nil}, func(q *tenantdb.Queries, _ time.Time) error {
		if err := auth.DeleteOperator(ctx, q, name); err != nil {
			return err
		}
		return a.DashboardClean(ctx, operator.OfTenant(t.ID, name))
	})
}

// AddOperatorToken gives an operator another token. Errors: [auth.ErrOperatorNotFound], [auth.ErrOperatorName].
func (a *Acts) AddOperatorToken(ctx context.Context, t *tenant.Tenant, by Operator, name string, n NewToken) (token auth.OperatorToken, err error) {
	token = auth.NewOperatorToken()
	detail := map[string]string{"token": token.ID, "label": n.Label}
	err = a.onOperators(ctx, t, by, "operator token", deed{name, detail}, func(q *tenantdb.Queries, now time.Time) error {
		return n.insert(ctx, q, now, name, token)
	})
	return token, err
}

// RevokeOperatorToken ends a token by its id. Errors: [auth.ErrOperatorNotFound].
func (a *Acts) RevokeOperatorToken(ctx context.Context, t *tenant.Tenant, by Operator, id string) error {
	return a.onOperators(ctx, t, by, "operator revoke", deed{"", map[string]string{"token": id}}, func(q *tenantdb.Queries, _ time.Time) error {
		return auth.RevokeOperatorToken(ctx, q, id)
	})
}

func (a *Acts) onOperators(ctx context.Context, t *tenant.Tenant, by Operator, action string, d deed, change func(*tenantdb.Queries, time.Time) error) error {
	now := a.Now().UTC().Truncate(time.Microsecond)
	return a.change(ctx, t, by, action, d, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		return nil, change(q, now)
	})
}
