package act

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// decisionLife is how long it is worth telling an applicant what became of the sign-up.
const decisionLife = 3 * 24 * time.Hour

// Approve opens an account whose sign-up waits: its DID comes into being, then the account. Doing it again after a
// crash in between is fine; so is rejecting it. An account that moves here may go on with that.
// Errors: [ErrGone], [accounts.ErrNotFound], [accounts.ErrDeciding], those of the DID's directory.
func (a *Acts) Approve(ctx context.Context, t *tenant.Tenant, by Operator, did string) error {
	who, err := a.find(ctx, t, did)
	if err != nil {
		return err
	}
	if who.TakenDown {
		return ErrGone // before the directory hears of it
	}
	var genesis []byte
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		genesis, err = accounts.BeginApproval(ctx, q, a.Now(), who.AID)
		return err
	})
	if err != nil {
		return Gone(err)
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
		if err := a.submit(ctx, t, who.DID, op); err != nil {
			return err
		}
	}
	err = a.change(ctx, t, by, actStatus, deed{who.DID, map[string]any{"approved": true}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		lang, err := accounts.ApproveSignup(ctx, q, a.Now(), who.AID)
		if err != nil {
			return nil, err
		}
		if moved { // its owner activates it, once its document leads here
			return nil, a.tellDecision(ctx, q, t, who.AID, who, mail.KindMoveApproved, lang, "")
		}
		if err := a.tellDecision(ctx, q, t, who.AID, who, mail.KindSignupApproved, lang, ""); err != nil {
			return nil, err
		}
		return accounts.Activate(ctx, q, a.Now(), who.AID)
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	a.Actors.Forget(t.Schema, who.DID)
	return Gone(err)
}

// reject removes an account whose sign-up waits. The decision stands when its transaction is committed. The directory
// is asked only if an approval was begun and cut off. If it is away then, a job ends the DID and removes the rest.
func (a *Acts) reject(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account, reason string) error {
	var rejected accounts.Rejected
	detail := map[string]any{"approved": false, "handle": who.Handle}
	if reason != "" {
		detail["reason"] = reason
	}
	err := a.change(ctx, t, by, actDelete, deed{who.DID, detail}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		var err error
		if rejected, err = accounts.BeginRejection(ctx, q, a.Now(), who.AID, who.DID); err != nil {
			return nil, err
		}
		// Nobody's mail: what is the account's goes with it.
		return nil, a.tellDecision(ctx, q, t, 0, who, mail.KindSignupRejected, rejected.Lang, reason)
	})
	if err != nil {
		return err
	}
	a.Outbox.Wake(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	if err := (accounts.Rejections{DB: a.DB, Tenants: a.Tenants, Directory: a.Directory, Hub: a.Hub, Now: a.Now}).Finish(ctx, t, rejected); err != nil {
		a.Log.WarnContext(ctx, "a job goes on with the removal of a rejected sign-up", "did", who.DID, "err", err)
		a.Actors.Forget(t.Schema, who.DID)
		return nil
	}
	a.forget(ctx, t, who.AID, who.DID)
	return nil
}

// tellDecision queues the mail about a decision, inside its transaction.
func (a *Acts) tellDecision(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, aid int64, who *accounts.Account, kind mail.Kind, lang, reason string) error {
	if who.Email == "" {
		return nil
	}
	return a.Outbox.Put(ctx, q, t, aid, who.Email, mail.Note{Kind: kind, Lang: lang, Handle: who.Handle, Text: reason}, decisionLife)
}
