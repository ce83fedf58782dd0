package handlers

import (
	"errors"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
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

func (m adminMethods) register(g *group) {
	operator(g, query("com.atproto.admin.getAccountInfo"), auth.RoleSupport, m.getAccountInfo)
	operator(g, query("com.atproto.admin.getAccountInfos").answers(invitesAnswer), auth.RoleSupport, m.getAccountInfos)
	operator(g, query("com.atproto.admin.searchAccounts").answers(invitesAnswer), auth.RoleSupport, m.searchAccounts)
	operator(g, query("com.atproto.admin.getSubjectStatus"), auth.RoleSupport, m.getSubjectStatus)
	operator(g, query("com.atproto.admin.getInviteCodes").answers(invitesAnswer), auth.RoleSupport, m.getInviteCodes)
	operator(g, procedure("com.atproto.admin.sendEmail"), auth.RoleSupport, m.sendEmail)
	operator(g, procedure("com.atproto.admin.updateSubjectStatus"), auth.RoleModerator, m.updateSubjectStatus)
	operator(g, procedure("com.atproto.admin.enableAccountInvites"), auth.RoleModerator, m.enableAccountInvites)
	operator(g, procedure("com.atproto.admin.disableAccountInvites"), auth.RoleModerator, m.disableAccountInvites)
	operator(g, procedure("com.atproto.admin.disableInviteCodes"), auth.RoleModerator, m.disableInviteCodes)
	operator(g, procedure("com.atproto.admin.updateAccountEmail"), auth.RoleAdmin, m.updateAccountEmail)
	operator(g, procedure("com.atproto.admin.updateAccountHandle"), auth.RoleAdmin, m.updateAccountHandle)
	operator(g, procedure("com.atproto.admin.updateAccountPassword"), auth.RoleAdmin, m.updateAccountPassword)
	operator(g, procedure("com.atproto.admin.updateAccountSigningKey"), auth.RoleAdmin, m.updateAccountSigningKey)
	operator(g, procedure("com.atproto.admin.deleteAccount"), auth.RoleAdmin, m.deleteAccount)
}

// noAccount is the answer of these methods for an account that is not here.
func noAccount(err error) error {
	if errors.Is(err, accounts.ErrNotFound) {
		return refuse(http.StatusBadRequest, "NotFound", "Account not found")
	}
	return err
}
