package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// createMovedAccount is createAccount with a DID of the caller's own, proven by a service token that the DID's key
// signed. The account is deactivated until its document leads here, nothing is sent to any directory, and the firehose
// says nothing: the DID may still live elsewhere. One transaction makes all of it. Where sign-ups are approved this one
// waits like others, and brings nothing before: who has not been let in stores nothing.
// spec: account#account-migration
func (m serverMethods) createMovedAccount(ctx context.Context, v visitor, in *serverCreateAccountInputBody) (*serverCreateAccountOutput, error) {
	claim, err := m.services.Read(v.Tenant, v.Header("Authorization"), methodCreateAccount)
	if errors.Is(err, auth.ErrServiceMissing) || err == nil && claim.Issuer != string(in.DID) {
		return nil, refuse(http.StatusUnauthorized, "", "Missing auth to create account with did: %s", in.DID)
	}
	if err != nil {
		return nil, err
	}
	caller, err := m.services.Prove(ctx, claim)
	if err != nil {
		return nil, unusableDID(err)
	}
	s, err := m.newSignup(ctx, v.Tenant, in)
	if err != nil {
		return nil, err
	}
	if s.External {
		if did, err := m.documents.ResolveHandle(ctx, s.Handle); err != nil || did != s.DID {
			return nil, invalid("External handle did not resolve to DID")
		}
	}
	secrets, err := m.sessions.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	if err := s.MintKey(m.keys); err != nil {
		return nil, err
	}
	t := m.db.Tenant(v.Tenant.Schema)
	if s.AID, err = t.Q().LockNextAID(ctx); err != nil {
		return nil, fmt.Errorf("take an account number: %w", err)
	}
	refresh, scope := m.sessions.NewRefresh(), auth.ScopeAccess
	if v.Tenant.Settings.Signup == tenant.SignupApproval {
		scope = auth.ScopeSignupQueued
	}
	err = t.Tx(ctx, func(q *tenantdb.Queries) error {
		if err := caller.UseUp(ctx, q); err != nil {
			return err
		}
		if err := s.Begin(ctx, q, m.keys); err != nil {
			return err
		}
		if _, err := repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, m.now()); err != nil {
			return err
		}
		if scope == auth.ScopeSignupQueued {
			if err := s.Queue(ctx, q, v.language()); err != nil {
				return err
			}
		}
		return auth.InsertRefresh(ctx, q, s.CreatedAt, s.AID, refresh, nil)
	})
	if err != nil {
		return nil, err
	}
	m.actors.Forget(v.Tenant.Schema, s.DID)
	pair, err := m.sessions.Mint(v.Tenant, secrets, scope, s.DID, s.Epochs(), refresh)
	if err != nil {
		return nil, err
	}
	return &serverCreateAccountOutput{Body: serverCreateAccountOutputBody{
		AccessJwt: pair.Access, RefreshJwt: pair.Refresh, Handle: Handle(s.Handle), DID: DID(s.DID), DIDDoc: m.didDoc(ctx, s.DID),
	}}, nil
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
