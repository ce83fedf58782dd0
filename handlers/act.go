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
	return c.recordAll(ctx, q, []deed{{subject, detail}})
}

// deed is one line of the log.
type deed struct {
	subject string
	detail  any
}

// recordAll is record of an act that takes several lines.
func (c operatorCaller) recordAll(ctx context.Context, q *tenantdb.Queries, deeds []deed) error {
	if err := c.act.token.UseUp(ctx, q); err != nil {
		return err
	}
	for _, one := range deeds {
		if err := audit.Insert(ctx, q, c.entry(one.subject, audit.Done), int16(c.Role), one.detail); err != nil {
			return err
		}
	}
	return nil
}

// named is an input that names whom or what an operator's method is about: the log says it of refused acts, too, as it
// was asked for.
type named interface{ subject() string }

func (in *adminDeleteAccountInput) subject() string           { return string(in.Body.DID) }
func (in *adminDisableAccountInvitesInput) subject() string   { return string(in.Body.Account) }
func (in *adminEnableAccountInvitesInput) subject() string    { return string(in.Body.Account) }
func (in *adminDisableInviteCodesInput) subject() string      { return only(in.Body.Accounts) }
func (in *adminSendEmailInput) subject() string               { return string(in.Body.RecipientDid) }
func (in *adminUpdateAccountEmailInput) subject() string      { return string(in.Body.Account) }
func (in *adminUpdateAccountHandleInput) subject() string     { return string(in.Body.DID) }
func (in *adminUpdateAccountPasswordInput) subject() string   { return string(in.Body.DID) }
func (in *adminUpdateAccountSigningKeyInput) subject() string { return string(in.Body.DID) }
func (in *serverCreateInviteCodeInput) subject() string       { return string(in.Body.ForAccount) }
func (in *serverCreateInviteCodesInput) subject() string      { return only(in.Body.ForAccounts) }
func (in *locusAdminSetBlobLimitInput) subject() string       { return string(in.Body.Account) }

func (in *adminUpdateSubjectStatusInput) subject() string {
	switch s := &in.Body.Subject; {
	case s.RepoRef != nil:
		return string(s.RepoRef.DID)
	case s.RepoStrongRef != nil:
		return string(s.RepoStrongRef.URI)
	case s.RepoBlobRef != nil:
		return string(s.RepoBlobRef.DID) + "/" + string(s.RepoBlobRef.CID)
	}
	return ""
}

// only is the one member of a list that has one.
func only[T ~string](list []T) string {
	if len(list) == 1 {
		return string(list[0])
	}
	return ""
}

// refusedAct writes down that an act was tried and did not happen: a statement of its own, because the act's
// transaction is gone. When even this fails the request's own error is the better answer, and the log has both. in is
// nil when the body was not read.
func (g *group) refusedAct(ctx context.Context, d declaration, c operatorCaller, in any, cause error) {
	if d.verb != procedureKind || g.db == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	e, _ := translate(ctx, cause)
	subject := ""
	if n, ok := in.(named); ok {
		subject = n.subject()
	}
	err := audit.Insert(ctx, g.db.Tenant(c.Tenant.Schema).Q(), c.entry(subject, e.Name), int16(c.Role), map[string]string{"message": e.Message})
	if err != nil {
		stateOf(c.req.Context()).logCause(c.req, e, err)
	}
}
