package handlers

import (
	"context"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// queueSignUp makes an account that waits for approval, in one transaction: neither the PLC directory nor the firehose
// hears of it before somebody approves.
func (m serverMethods) queueSignUp(ctx context.Context, t *tenant.Tenant, s *accounts.Signup, refresh auth.RefreshRow) error {
	return m.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if _, err := s.Begin(ctx, q, m.keys); err != nil {
			return err
		}
		if _, err := repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, m.now()); err != nil {
			return err
		}
		if err := s.Queue(ctx, q); err != nil {
			return err
		}
		return auth.InsertRefresh(ctx, q, s.CreatedAt, s.AID, refresh, nil)
	})
}

// approve opens an account whose sign-up waits: its DID comes into being, then the account. Doing it again after a
// crash in between is fine.
func (m adminMethods) approve(ctx context.Context, c operatorCaller, state accounts.State, did string) error {
	q := m.db.Tenant(c.Tenant.Schema).Q()
	genesis, err := accounts.SignupGenesis(ctx, q, state.AID)
	if err != nil {
		return err
	}
	op, err := identity.ParseOperation(genesis)
	if err != nil {
		return fmt.Errorf("stored genesis of %s: %w", did, err)
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	if err := m.identity.directory.Submit(ctx, did, op); err != nil {
		return err
	}
	err = m.act(ctx, c, did, map[string]any{"approved": true}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if err := accounts.ApproveSignup(ctx, q, state.AID); err != nil {
			return nil, err
		}
		return accounts.Activate(ctx, q, m.now(), state.AID)
	})
	m.actors.Forget(c.Tenant.Schema, did)
	return goneAccount(err)
}
