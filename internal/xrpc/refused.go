package xrpc

import (
	"context"
	"time"
)

// refusedAct has it written down that an act was tried and did not happen. When even this fails the request's own error
// is the better answer, and the log has both. in is nil when the body was not read.
func (g *Group) refusedAct(ctx context.Context, d Declaration, c OperatorCaller, in any, cause error) {
	if d.verb != ProcedureKind || g.refused == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	e, _ := g.tables.Translate(ctx, cause)
	if err := g.refused(ctx, c, d.NSID, in, e); err != nil {
		c.state.log.ErrorContext(ctx, "a refused act is not in the audit log", "host", c.state.req.Host, "method", d.NSID, "err", err)
	}
}
