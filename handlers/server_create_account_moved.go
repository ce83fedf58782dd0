package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
)

// createMovedAccount is createAccount with a DID of the caller's own, proven by a service token that the DID's key
// signed.
// spec: account#account-migration
func (m serverMethods) createMovedAccount(ctx context.Context, v visitor, in *serverCreateAccountInputBody) (*serverCreateAccountOutput, error) {
	claim, err := m.services.Read(v.Tenant, v.Header("Authorization"), methodCreateAccount)
	if errors.Is(err, auth.ErrServiceMissing) || err == nil && claim.Issuer != string(in.DID) {
		return nil, refuse(http.StatusUnauthorized, "", "Missing auth to create account with did: %s", in.DID)
	}
	if err != nil {
		return nil, err
	}
	caller, err := m.services.Prove(ctx, v.asker(), claim)
	if err != nil {
		return nil, unusableDID(err)
	}
	made, err := m.acts.MoveIn(ctx, v.Tenant, caller, stranger(v), signupRequest(in))
	if err != nil {
		return nil, err
	}
	return accountMade(made, m.didDoc(ctx, v.Tenant, made.DID)), nil
}

// unusableDID gives what the lexicon calls a DID that nobody can prove to have: its document names no key, or cannot be
// had.
func unusableDID(err error) error {
	switch {
	case errors.Is(err, identity.ErrNoKey) || errors.Is(err, identity.ErrDocument):
		return refuse(http.StatusBadRequest, "IncompatibleDidDoc", "The DID document names no key for the account")
	case errors.Is(err, auth.ErrServiceIssuer):
		return refuse(http.StatusBadRequest, "UnresolvableDid", "The DID cannot be resolved")
	}
	return err
}
