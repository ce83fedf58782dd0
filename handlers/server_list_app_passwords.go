package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
)

// listAppPasswords lists the caller's app passwords, the newest first. Nobody knows the passwords themselves.
// spec: lexicon com.atproto.server.listAppPasswords
func (m serverMethods) listAppPasswords(ctx context.Context, c xrpc.AccountCaller, _ *serverListAppPasswordsInput) (*serverListAppPasswordsOutput, error) {
	list, err := account.ListAppPasswords(ctx, m.db.Tenant(c.Tenant.Schema).Q(), c.AID)
	if err != nil {
		return nil, err
	}
	out := new(serverListAppPasswordsOutput)
	out.Body.Passwords = make([]serverListAppPasswordsAppPassword, len(list))
	for i, p := range list {
		out.Body.Passwords[i] = serverListAppPasswordsAppPassword{
			Name: p.Name, CreatedAt: datetime(p.CreatedAt), Privileged: &p.Privileged,
			ExpiresAt: datetimeOf(p.ExpiresAt), LastUsedAt: datetimeOf(p.LastUsedAt),
		}
	}
	return out, nil
}
