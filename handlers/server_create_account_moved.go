package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
)

// createMovedAccount is createAccount for an account that moves here with its DID.
// spec: account#pds-account-migration
func (m serverMethods) createMovedAccount(ctx context.Context, c xrpc.OwnerCaller, in *serverCreateAccountInput) (*serverCreateAccountOutput, error) {
	if in.Body.PlcOp != nil {
		return nil, xrpc.Invalid("Unsupported input: plcOp")
	}
	made, err := m.acts.MoveIn(ctx, c.Tenant, c.Service, stranger(c.Visitor), signupRequest(&in.Body))
	if err != nil {
		return nil, err
	}
	return accountMade(made, m.didDoc(ctx, c.Tenant, made.DID)), nil
}

// bringsDID is how createAccount is called with a DID.
var bringsDID = xrpc.Bringing[serverCreateAccountInput]{
	DID: func(in *serverCreateAccountInput) string { return string(in.Body.DID) },
	Missing: func(did string) error {
		return xrpc.Refuse(http.StatusUnauthorized, "", "Missing auth to create account with did: %s", did)
	},
	Unproven: unusableDID,
}

// unusableDID gives what the lexicon calls a DID that nobody can prove to have: its document names no key, or cannot be
// had.
func unusableDID(err error) error {
	switch {
	case errors.Is(err, identity.ErrNoKey) || errors.Is(err, identity.ErrDocument):
		return xrpc.Refuse(http.StatusBadRequest, "IncompatibleDidDoc", "The DID document names no key for the account")
	case errors.Is(err, auth.ErrServiceIssuer):
		return xrpc.Refuse(http.StatusBadRequest, "UnresolvableDid", "The DID cannot be resolved")
	}
	return err
}
