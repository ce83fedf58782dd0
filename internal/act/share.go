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
	err = a.noted(ctx, t, by, actShare, deed{t.Hostname, nil}, func() error {
		role, err = a.db.Share(ctx, t.Schema, password)
		return err
	})
	return role, password, err
}

// Unshare takes the login away.
func (a *TenantActs) Unshare(ctx context.Context, t *tenant.Tenant, by Operator) error {
	return a.noted(ctx, t, by, actUnshare, deed{t.Hostname, nil}, func() error {
		return a.db.Unshare(ctx, t.Schema)
	})
}

// MakeRoles makes the roles in Postgres that tenants lack, by which --tenant-roles keeps them apart; again: also grants
// anew what they have. Errors: [db.ErrNoRoles].
func (a *TenantActs) MakeRoles(ctx context.Context, by Operator, again bool) (made db.RolesMade, err error) {
	err = a.logged(ctx, by, "tenant roles", 0, deed{"", map[string]any{"again": again}}, func() (int64, error) {
		if err := a.db.LearnNodes(ctx); err != nil {
			return 0, err
		}
		made, err = a.db.MakeTenantRoles(ctx, again, nil)
		return 0, err
	})
	return made, err
}
