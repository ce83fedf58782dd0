package handlers

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
)

// by is the operator as acts know it.
func by(c xrpc.OperatorCaller) act.Operator {
	return act.Operator{Operator: c.Operator, Address: c.Addr().String(), RequestID: c.RequestID(), Token: c.Token}
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

// refusedActs writes refused acts to the audit log: a statement of its own, because the act's transaction is gone.
type refusedActs struct {
	db  *db.DB
	now func() time.Time
}

func (m refusedActs) insert(ctx context.Context, c xrpc.OperatorCaller, method string, in any, answer *xrpc.Error) error {
	subject := ""
	if n, ok := in.(named); ok {
		subject = n.subject()
	}
	return audit.Insert(ctx, m.db.Tenant(c.Tenant.Schema).Q(), by(c).Entry(m.now(), method, subject, answer.Name), int16(c.Role), map[string]string{"message": answer.Message})
}
