package handlers

import (
	"errors"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
)

// adminMethods are com.atproto.admin.*: what operators see and do. Every procedure writes to the audit log in its own
// transaction.
type adminMethods struct {
	acts *act.Acts
	db   *db.DB
	now  func() time.Time
}

func (m adminMethods) register(g *xrpc.Group) {
	xrpc.Operator(g, xrpc.Query("com.atproto.admin.getAccountInfo"), auth.RoleSupport, m.getAccountInfo)
	xrpc.Operator(g, xrpc.Query("com.atproto.admin.getAccountInfos").Answers(invitesAnswer), auth.RoleSupport, m.getAccountInfos)
	xrpc.Operator(g, xrpc.Query("com.atproto.admin.searchAccounts").Answers(invitesAnswer), auth.RoleSupport, m.searchAccounts)
	xrpc.Operator(g, xrpc.Query("com.atproto.admin.getSubjectStatus"), auth.RoleSupport, m.getSubjectStatus)
	xrpc.Operator(g, xrpc.Query("com.atproto.admin.getInviteCodes").Answers(invitesAnswer), auth.RoleSupport, m.getInviteCodes)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.sendEmail"), auth.RoleSupport, m.sendEmail)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.updateSubjectStatus"), auth.RoleModerator, m.updateSubjectStatus)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.enableAccountInvites"), auth.RoleModerator, m.enableAccountInvites)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.disableAccountInvites"), auth.RoleModerator, m.disableAccountInvites)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.disableInviteCodes"), auth.RoleModerator, m.disableInviteCodes)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.updateAccountEmail"), auth.RoleAdmin, m.updateAccountEmail)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.updateAccountHandle"), auth.RoleAdmin, m.updateAccountHandle)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.updateAccountPassword"), auth.RoleAdmin, m.updateAccountPassword)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.updateAccountSigningKey"), auth.RoleAdmin, m.updateAccountSigningKey)
	xrpc.Operator(g, xrpc.Procedure("com.atproto.admin.deleteAccount"), auth.RoleAdmin, m.deleteAccount)
}

// noAccount is the answer of these methods for an account that is not here.
func noAccount(err error) error {
	if errors.Is(err, account.ErrNotFound) {
		return xrpc.Refuse(http.StatusBadRequest, "NotFound", "Account not found")
	}
	return err
}
