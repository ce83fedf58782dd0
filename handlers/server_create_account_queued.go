package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// queueSignUp makes an account that waits for approval, in one transaction: neither the PLC directory nor the firehose
// hears of it before somebody approves.
func (m serverMethods) queueSignUp(ctx context.Context, t *tenant.Tenant, s *accounts.Signup, lang string, refresh auth.RefreshRow) error {
	return m.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := s.Begin(ctx, q, m.keys); err != nil {
			return err
		}
		if _, err := repodb.InsertRepo(ctx, q, s.AID, s.DID, s.Key, m.now()); err != nil {
			return err
		}
		if err := s.Queue(ctx, q, lang); err != nil {
			return err
		}
		return auth.InsertRefresh(ctx, q, s.CreatedAt, s.AID, refresh, nil)
	})
}

// decisionLife is how long it is worth telling an applicant what became of the sign-up.
const decisionLife = 3 * 24 * time.Hour

// approve opens an account whose sign-up waits: its DID comes into being, then the account. Doing it again after a
// crash in between is fine; so is rejecting it. An account that moves here may go on with that.
func (m adminMethods) approve(ctx context.Context, c operatorCaller, who *accounts.Account) error {
	if who.TakenDown {
		return goneAccount(accounts.ErrNotFound) // before the directory hears of it
	}
	t := m.db.Tenant(c.Tenant.Schema)
	var genesis []byte
	err := t.Tx(ctx, func(q *tenantdb.Queries) (err error) {
		genesis, err = accounts.BeginApproval(ctx, q, m.now(), who.AID)
		return err
	})
	if err != nil {
		return goneAccount(err)
	}
	moved := genesis == nil
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	if !moved {
		op, err := identity.ParseOperation(genesis)
		if err != nil {
			return fmt.Errorf("stored genesis of %s: %w", who.DID, err)
		}
		if err := m.identity.directory.Submit(ctx, who.DID, op); err != nil {
			return err
		}
	}
	err = m.act(ctx, c, who.DID, map[string]any{"approved": true}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		lang, err := accounts.ApproveSignup(ctx, q, m.now(), who.AID)
		if err != nil {
			return nil, err
		}
		if moved { // its owner activates it, once its document leads here
			return nil, m.tell(ctx, q, c, who.AID, who, mail.KindMoveApproved, lang)
		}
		if err := m.tell(ctx, q, c, who.AID, who, mail.KindSignupApproved, lang); err != nil {
			return nil, err
		}
		return accounts.Activate(ctx, q, m.now(), who.AID)
	})
	if err == nil {
		m.outbox.Wake(c.Tenant)
	}
	m.actors.Forget(c.Tenant.Schema, who.DID)
	return goneAccount(err)
}

// reject removes an account whose sign-up waits. The decision stands when its transaction is committed; should the
// directory be away, which is asked only if an approval was begun and cut off, a job ends the DID and removes the rest.
func (m adminMethods) reject(ctx context.Context, c operatorCaller, who *accounts.Account) error {
	var rejected accounts.Rejected
	err := m.act(ctx, c, who.DID, map[string]any{"approved": false, "handle": who.Handle}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		var err error
		if rejected, err = accounts.BeginRejection(ctx, q, m.now(), who.AID, who.DID); err != nil {
			return nil, err
		}
		// Nobody's mail: what is the account's goes with it.
		return nil, m.tell(ctx, q, c, 0, who, mail.KindSignupRejected, rejected.Lang)
	})
	if err != nil {
		return err
	}
	m.outbox.Wake(c.Tenant)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	if err := (accounts.Rejections{DB: m.db, Tenants: m.server.tenants, Directory: m.identity.directory, Now: m.now}).Finish(ctx, c.Tenant, rejected); err != nil {
		m.server.log.Warn("a job goes on with the removal of a rejected sign-up", "did", who.DID, "err", err)
		m.actors.Forget(c.Tenant.Schema, who.DID)
		return nil
	}
	m.server.forget(ctx, c.Tenant, who.AID, who.DID)
	return nil
}

// tell queues the mail about a decision, inside its transaction.
func (m adminMethods) tell(ctx context.Context, q *tenantdb.Queries, c operatorCaller, aid int64, who *accounts.Account, kind mail.Kind, lang string) error {
	if who.Email == "" {
		return nil
	}
	return m.outbox.Put(ctx, q, c.Tenant, aid, who.Email, mail.Note{Kind: kind, Lang: lang, Handle: who.Handle}, decisionLife)
}
