package auth

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/tenant"
)

// Hosted is the account in whose name a service calls, in a state that accept lets pass. [Services.Prove] finds out
// whether the service may call. Errors: [ErrAccountNotFound], [ErrAccountTakedown], [ErrAccountDeactivated].
func (s *Sessions) Hosted(ctx context.Context, t *tenant.Tenant, did string, accept Accept) (Account, error) {
	a, err := s.actors.ByDID(ctx, t.Schema, did, account.Fresh)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return Account{}, ErrAccountNotFound
	case err != nil:
		return Account{}, err
	case a.TakenDown && accept&refuseTakendown != 0:
		return Account{}, ErrAccountTakedown
	case a.Deactivated && accept&refuseDeactivated != 0:
		return Account{}, ErrAccountDeactivated
	}
	return Account{AID: a.AID, DID: a.DID, Handle: a.Handle, Scope: ScopeService, TakenDown: a.TakenDown, Deactivated: a.Deactivated}, nil
}
