package account

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// HandlePolicy is what the tenant's settings say about handles.
func HandlePolicy(t *tenant.Tenant) identity.HandlePolicy {
	return identity.HandlePolicy{
		Domains: t.HandleDomains,
		Min:     t.Settings.HandleMinLength,
		Max:     t.Settings.HandleMaxLength,
		Reserve: t.Settings.HandleReserve,
		Release: t.Settings.HandleRelease,
		Refuse:  t.Settings.HandleRefuse,
		// Only a development server lets a tenant have such a domain.
		Dev: slices.ContainsFunc(t.HandleDomains, func(d string) bool { return d == "test" || strings.HasSuffix(d, ".test") }),
	}
}

// CheckHandle brings a handle wanted by a user into its normal form and checks it against the tenant's rules for
// handles under its own domains. It does not know other tenants: ask [tenant.Registry.NameTaken] as well. Errors: those
// of [identity.HandlePolicy.Check]; [ErrHandleDomain] for a handle elsewhere, which needs an account with a DID of its
// own.
func CheckHandle(t *tenant.Tenant, handle string) (string, error) {
	h, kind, err := HandlePolicy(t).Check(handle, false)
	if err != nil {
		return "", err
	}
	if kind != identity.HandleHosted {
		return "", ErrHandleDomain
	}
	return h, nil
}

// holdNames keeps the tenant's names as they are until the transaction ends that sets a handle under one of them. What the
// process knows of its domains may be old. Errors: [ErrHandleDomain].
func holdNames(ctx context.Context, q *tenantdb.Queries, handle string) error {
	lost, err := q.LockHandleGuard(ctx)
	if err != nil {
		return fmt.Errorf("hold names: %w", err)
	}
	for _, name := range lost {
		if handle == name || strings.HasSuffix(handle, "."+name) {
			return ErrHandleDomain
		}
	}
	return nil
}
