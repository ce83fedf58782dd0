package act

import (
	"context"
	"errors"
	"log/slog"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

// FailedSignin is the message of the line that a failed sign-in leaves in the log. Programs such as fail2ban read it: its
// form stays, and the address comes first. What was typed is not in it: people type passwords into the wrong field.
const FailedSignin = "failed sign-in"

// failedSignin writes the line.
func (a *Acts) failedSignin(ctx context.Context, t *tenant.Tenant, v Visitor, err error) {
	a.failed.Add(1)
	what := "password"
	switch {
	case errors.Is(err, accounts.ErrTokenInvalid):
		what = "code"
	case errors.Is(err, passkey.ErrRefused):
		what = "passkey"
	}
	a.Log.LogAttrs(ctx, slog.LevelWarn, FailedSignin, slog.String("address", v.address()), slog.String("tenant", t.Hostname), slog.String("wrong", what))
}

// FailedTenantOperator writes the same line of somebody who calls a tenant's operators' methods with a password or token
// that is none of theirs.
func (a *Acts) FailedTenantOperator(ctx context.Context, t *tenant.Tenant, address string) {
	a.failed.Add(1)
	a.Log.LogAttrs(ctx, slog.LevelWarn, FailedSignin, slog.String("address", address), slog.String("tenant", t.Hostname), slog.String("wrong", "operator"))
}

// FailedOperator writes the same line of somebody who is no operator of the deployment: what is the kind of credential that
// was wrong, address as programs keep it out, of IPv6 the network. Of no tenant: the listener is the deployment's.
func (a *Acts) FailedOperator(ctx context.Context, address, what string) {
	a.denied.Add(1)
	a.Log.LogAttrs(ctx, slog.LevelWarn, FailedSignin, slog.String("address", address), slog.String("tenant", ""), slog.String("wrong", what))
}

// FailedOperators is how many there were since the start.
func (a *Acts) FailedOperators() int64 { return a.denied.Load() }

// FailedSignins is how many there were since the start.
func (a *Acts) FailedSignins() int64 { return a.failed.Load() }
