package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// adminMethods are com.atproto.admin.*: what operators see and do. Every procedure writes to the audit log in its own
// transaction.
type adminMethods struct {
	publisher
	server    serverMethods
	identity  identityMethods
	passwords *accounts.Passwords
	actors    *accounts.Cache
	outbox    *outbox.Outbox
	blobs     *blob.Store
	now       func() time.Time
}

func (m adminMethods) register(g *group) {
	operator(g, query("com.atproto.admin.getAccountInfo"), auth.RoleSupport, m.getAccountInfo)
	operator(g, query("com.atproto.admin.getAccountInfos"), auth.RoleSupport, m.getAccountInfos)
	operator(g, query("com.atproto.admin.searchAccounts"), auth.RoleSupport, m.searchAccounts)
	operator(g, query("com.atproto.admin.getSubjectStatus"), auth.RoleSupport, m.getSubjectStatus)
	operator(g, query("com.atproto.admin.getInviteCodes"), auth.RoleSupport, m.getInviteCodes)
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

// act does something to one subject and writes it down, with the events that tell of it, in one transaction.
func (m adminMethods) act(ctx context.Context, c operatorCaller, subject string, detail any, change func(*tenantdb.Queries) ([]firehose.Event, error)) error {
	return m.publish(ctx, c.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		events, err := change(q)
		if err != nil {
			return nil, err
		}
		return events, c.record(ctx, q, subject, detail)
	})
}

// noAccount is the answer of these methods for an account that is not here.
func noAccount(err error) error {
	if errors.Is(err, accounts.ErrNotFound) {
		return refuse(http.StatusBadRequest, "NotFound", "Account not found")
	}
	return err
}

// account finds whom a method is about.
func (m adminMethods) account(ctx context.Context, c operatorCaller, name string) (*accounts.Account, error) {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	if len(name) > 4 && name[:4] == "did:" {
		a, err := accounts.ByDID(ctx, q, name)
		return a, noAccount(err)
	}
	a, err := accounts.ByHandle(ctx, q, string(lowerHandle(AtIdentifier(name))))
	return a, noAccount(err)
}
