package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
)

// ErrAccountQuota: the tenant has as many accounts as it may have.
var ErrAccountQuota = errors.New("tenant's quota of accounts is used up")

// AccountQuotaError is [ErrAccountQuota] with its number.
type AccountQuotaError struct{ Limit int64 }

func (e *AccountQuotaError) Error() string {
	return fmt.Sprintf("This server may have %d accounts, and has them: whoever runs it can have that raised", e.Limit)
}

// Said is the text for the client.
func (e *AccountQuotaError) Said() string { return e.Error() }

func (e *AccountQuotaError) Unwrap() error { return ErrAccountQuota }

// mayArrive looks whether a tenant takes another account, so that most refusals cost little. Errors: [ErrAccountQuota],
// [usage.ErrRequestQuota].
func (a *Acts) mayArrive(ctx context.Context, t *tenant.Tenant) error {
	if err := a.Usage.MayAdd(t); err != nil {
		return err
	}
	limit := t.Settings.AccountTenantCount
	if limit == 0 {
		return nil
	}
	n, err := a.DB.Tenant(t.Schema).Q().CountAccountsUpTo(ctx, limit)
	if err != nil {
		return fmt.Errorf("count accounts: %w", err)
	}
	if n >= limit {
		return a.accountsFull(t, limit)
	}
	return nil
}

// withinAccounts decides, as the last thing of the transaction that has inserted the account: behind a lock that such
// transactions take one after the other, so the quota is exact. Errors: [ErrAccountQuota].
func (a *Acts) withinAccounts(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant) error {
	limit := t.Settings.AccountTenantCount
	if limit == 0 {
		return nil
	}
	if _, err := q.LockStream(ctx); err != nil {
		return fmt.Errorf("lock stream: %w", err)
	}
	n, err := q.CountAccountsUpTo(ctx, limit+1)
	if err != nil {
		return fmt.Errorf("count accounts: %w", err)
	}
	if n > limit {
		return a.accountsFull(t, limit)
	}
	return nil
}

func (a *Acts) accountsFull(t *tenant.Tenant, limit int64) error {
	a.Usage.Reached(t, usage.QuotaAccounts, limit)
	return &AccountQuotaError{limit}
}
