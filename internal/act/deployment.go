package act

import (
	"context"
	"errors"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
)

// logged writes a change into the deployment's log when somebody makes it who runs the deployment. The line is there
// before the change, and what came of it is added: a line that says "begun" for long is of a process that died. change
// tells which tenant it was about.
func (a *TenantActs) logged(ctx context.Context, by Operator, action string, tenantID int64, d deed, change func() (int64, error)) error {
	if by.Deployment == 0 {
		_, err := change()
		return err
	}
	q, at := a.db.Control(), a.now().UTC().Truncate(time.Microsecond)
	e := audit.DeploymentEntry{Entry: by.Entry(at, action, d.subject, audit.Begun), TenantID: tenantID}
	id, err := audit.Begin(ctx, q, e, int16(by.Deployment), d.detail)
	if err != nil {
		return err
	}
	about, err := change()
	if about == 0 {
		about = tenantID
	}
	// Also when whoever asked has gone meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, audit.End(ctx, q, id, outcomeOf(err), about))
}

// outcomeOf is what the log says of an error.
func outcomeOf(err error) string {
	if err == nil {
		return audit.Done
	}
	text := "refused: " + err.Error()
	if len(text) > 300 {
		text = text[:300]
	}
	return text
}

// Refused writes down that somebody wanted a change to the deployment or a tenant and may not make it.
func (a *TenantActs) Refused(ctx context.Context, by Operator, action string, tenantID int64, subject, why string) error {
	q, at := a.db.Control(), a.now().UTC().Truncate(time.Microsecond)
	id, err := audit.Begin(ctx, q, audit.DeploymentEntry{Entry: by.Entry(at, action, subject, ""), TenantID: tenantID}, int16(by.Deployment), nil)
	if err == nil {
		err = audit.End(ctx, q, id, why, tenantID)
	}
	return err
}

// SetDeployment writes what is true of the whole deployment. Its log has what was so before; the zero value: nothing was.
// Errors: [tenant.ErrBadDeployment].
func (a *TenantActs) SetDeployment(ctx context.Context, by Operator, old, facts tenant.Deployment) error {
	if err := facts.Check(); err != nil {
		return err
	}
	detail := map[string]any{"facts": factsOf(facts)}
	if old != (tenant.Deployment{}) {
		detail["before"] = factsOf(old)
	}
	return a.logged(ctx, by, "deployment set", 0, deed{"", detail}, func() (int64, error) {
		return 0, tenant.SetDeployment(ctx, a.db, facts, a.now())
	})
}

func factsOf(d tenant.Deployment) map[string]any {
	return map[string]any{"development": d.Development, "scheme": d.Scheme, "port": d.Port, "plc_url": d.PLCURL}
}

// NewDeploymentToken is what is said of a token for the operator API. A Life of 0 is until it is revoked.
type NewDeploymentToken struct {
	Label  string
	Role   auth.DeploymentRole
	Tenant *tenant.Tenant // of role tenant
	Life   time.Duration
}

// AddDeploymentToken makes a token for the operator API; its secret is shown this once. Errors:
// [auth.ErrDeploymentToken].
func (a *TenantActs) AddDeploymentToken(ctx context.Context, by Operator, n NewDeploymentToken) (secret string, what auth.DeploymentToken, err error) {
	now := a.now().UTC().Truncate(time.Microsecond)
	token := auth.NewDeploymentToken()
	what = auth.DeploymentToken{
		DeploymentOperator: auth.DeploymentOperator{TokenID: token.ID, Label: n.Label, Role: n.Role}, CreatedBy: by.Name, CreatedAt: now,
	}
	if n.Tenant != nil {
		what.TenantID = n.Tenant.ID
	}
	if n.Life != 0 {
		what.ExpiresAt = new(now.Add(n.Life))
	}
	detail := map[string]any{"label": n.Label, "role": n.Role.String()}
	err = a.logged(ctx, by, "token create", what.TenantID, deed{token.ID, detail}, func() (int64, error) {
		return what.TenantID, a.db.ControlTx(ctx, func(q *controldb.Queries) error { return auth.InsertDeploymentToken(ctx, q, token, what) })
	})
	return token.Secret, what, err
}

// RevokeDeploymentToken ends a token for the operator API, by its id, and takes away what let its bearer into the
// dashboard: second factors, sessions and links. Errors: [auth.ErrDeploymentTokenNotFound].
func (a *TenantActs) RevokeDeploymentToken(ctx context.Context, by Operator, id string) error {
	return a.logged(ctx, by, "token revoke", 0, deed{id, nil}, func() (int64, error) {
		return 0, a.db.ControlTx(ctx, func(q *controldb.Queries) error {
			if err := auth.RevokeDeploymentToken(ctx, q, id); err != nil {
				return err
			}
			return operator.Reset(ctx, q, operator.OfToken(id))
		})
	})
}

// CancelJob wants a job to end. Errors: [job.ErrNotFound], [job.ErrEnded].
func (a *TenantActs) CancelJob(ctx context.Context, by Operator, jobs *job.Runner, id string) (j job.Job, err error) {
	err = a.logged(ctx, by, "job cancel", 0, deed{id, nil}, func() (int64, error) {
		j, err = jobs.Cancel(ctx, id)
		return j.TenantID, err
	})
	return j, err
}
