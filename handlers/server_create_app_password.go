package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/syntax"
)

// createAppPassword makes a password for one app, and shows it this one time.
// spec: lexicon com.atproto.server.createAppPassword
func (m serverMethods) createAppPassword(ctx context.Context, c xrpc.AccountCaller, in *serverCreateAppPasswordInput) (*serverCreateAppPasswordOutput, error) {
	wanted := act.NewAppPassword{Name: in.Body.Name, Privileged: in.Body.Privileged != nil && *in.Body.Privileged}
	if in.Body.ExpiresAt != "" {
		at, ok := syntax.ParseDatetime(string(in.Body.ExpiresAt))
		if !ok {
			return nil, xrpc.Invalid("expiresAt must be a datetime")
		}
		wanted.ExpiresAt = &at
	}
	p, password, err := m.acts.CreateAppPassword(ctx, c.Tenant, owner(c), wanted)
	if err != nil {
		return nil, err
	}
	return &serverCreateAppPasswordOutput{Body: serverCreateAppPasswordAppPassword{
		Name: p.Name, Password: password, CreatedAt: datetime(p.CreatedAt), Privileged: &p.Privileged, ExpiresAt: datetimeOf(p.ExpiresAt),
	}}, nil
}
