package act

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actShare   = "tenant sql enable"
	actUnshare = "tenant sql disable"
)

// Share gives a tenant's owner a login to Postgres that reads the tenant's views, or its login a new password. The
// password is shown once: Postgres keeps a verifier. Errors: [db.ErrNoRoles].
func (a *TenantActs) Share(ctx context.Context, t *tenant.Tenant, by Operator) (role, password string, err error) {
	var raw [20]byte
	_, _ = rand.Read(raw[:]) // never fails: the runtime ends the process instead
	password = strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
	role = db.ShareRole(t.Schema)
	return role, password, a.noted(ctx, t, by, actShare, deed{t.Hostname, map[string]any{"role": role}}, func() error {
		return a.db.Share(ctx, t.Schema, password)
	})
}

// Unshare takes the login away.
func (a *TenantActs) Unshare(ctx context.Context, t *tenant.Tenant, by Operator) error {
	return a.noted(ctx, t, by, actUnshare, deed{t.Hostname, nil}, func() error {
		return a.db.Unshare(ctx, t.Schema)
	})
}
