package handlers

import (
	"context"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
)

// act is what an operator is doing in this request.
type act struct {
	action    string
	requestID string
	now       func() time.Time
	token     *auth.Service // the moderation service's; nil: an operator acts
}

// insideKey finds the operator of a call that this process makes itself.
type insideKey struct{}

// AsOperator lets the process call operator methods as o: commands do, whose user holds the database anyway. It works
// only for requests that are made with the context it returns; nothing on the network can.
func AsOperator(ctx context.Context, o auth.Operator) context.Context {
	return context.WithValue(ctx, insideKey{}, o)
}

func (c operatorCaller) entry(subject, outcome string) audit.Entry {
	return audit.Entry{
		At: c.act.now().UTC(), Who: c.Name, Action: c.act.action, Subject: subject,
		Address: c.Addr().String(), RequestID: c.act.requestID, Outcome: outcome,
	}
}

// record writes the act to the audit log, inside the act's transaction. detail becomes JSON: never put a secret there.
// A service token that somebody overheard does nothing a second time.
func (c operatorCaller) record(ctx context.Context, q *tenantdb.Queries, subject string, detail any) error {
	if err := c.act.token.UseUp(ctx, q); err != nil {
		return err
	}
	return audit.Insert(ctx, q, c.entry(subject, audit.Done), int16(c.Role), detail)
}

// refusedAct writes down that an act was tried and did not happen: a statement of its own, because the act's
// transaction is gone. When even this fails the request's own error is the better answer, and the log has both.
func (g *group) refusedAct(ctx context.Context, d declaration, c operatorCaller, cause error) {
	if d.verb != procedureKind || g.db == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	e, _ := translate(ctx, cause)
	err := audit.Insert(ctx, g.db.Tenant(c.Tenant.Schema).Q(), c.entry("", e.Name), int16(c.Role), map[string]string{"message": e.Message})
	if err != nil {
		stateOf(c.req.Context()).logCause(c.req, e, err)
	}
}
