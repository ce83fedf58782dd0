package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/syntax"
)

// createAppPassword makes a password for one app, and shows it this one time.
// spec: lexicon com.atproto.server.createAppPassword
func (m serverMethods) createAppPassword(ctx context.Context, c accountCaller, in *serverCreateAppPasswordInput) (*serverCreateAppPasswordOutput, error) {
	secrets, err := m.sessions.Secrets(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	p := accounts.AppPassword{Name: in.Body.Name, Privileged: in.Body.Privileged != nil && *in.Body.Privileged, CreatedAt: m.now()}
	if in.Body.ExpiresAt != "" {
		at, ok := syntax.ParseDatetime(string(in.Body.ExpiresAt))
		if !ok {
			return nil, invalid("expiresAt must be a datetime")
		}
		p.ExpiresAt = &at
	}
	password := accounts.NewAppPassword()
	err = m.db.Tenant(c.Tenant.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		factors, err := secondFactors(ctx, q, c.AID)
		if err == nil {
			err = m.confirmed(c, factors)
		}
		if err != nil {
			return err
		}
		return accounts.InsertAppPassword(ctx, q, secrets.Typed(), c.AID, p, password)
	})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, auth.ErrAccountNotFound
	}
	if err != nil {
		return nil, err
	}
	return &serverCreateAppPasswordOutput{Body: serverCreateAppPasswordAppPassword{
		Name: p.Name, Password: password, CreatedAt: datetime(p.CreatedAt), Privileged: &p.Privileged, ExpiresAt: datetimeOf(p.ExpiresAt),
	}}, nil
}
