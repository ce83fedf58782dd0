package act

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

// SetPreferences replaces an account's preferences, all or nothing. Errors: [accounts.ErrPreferenceType],
// [accounts.ErrPreferenceNamespace], [accounts.ErrPreferenceForbidden], [auth.ErrAccountNotFound].
func (a *Acts) SetPreferences(ctx context.Context, t *tenant.Tenant, by Owner, items []jsontext.Value) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return ended(accounts.PutPreferences(ctx, q, a.Now(), by.AID, items, by.Scope == auth.ScopeAccess))
	})
}
