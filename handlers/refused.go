package handlers

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
)

// by is the caller as acts know it.
func (c operatorCaller) by() act.Operator {
	return act.Operator{Operator: c.Operator, Address: c.Addr().String(), RequestID: c.requestID, Token: c.token}
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
func (in *locusAdminSetRecordLimitsInput) subject() string    { return string(in.Body.Account) }

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
	err := audit.Insert(ctx, g.db.Tenant(c.Tenant.Schema).Q(), c.by().Entry(g.now(), d.nsid, subject, e.Name), int16(c.Role), map[string]string{"message": e.Message})
	if err != nil {
		st := stateOf(c.req.Context())
		st.log.Error("a refused act is not in the audit log", "id", st.requestID(c.req), "host", c.req.Host, "method", d.nsid, "err", err)
	}
}
