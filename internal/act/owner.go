package act

import (
	"context"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// fresh refuses what takes a proof that is not older than [auth.ProvenLife]. Errors: [ErrProofOld].
func (a *Acts) fresh(by Owner) error {
	if by.ProvenAt.IsZero() || a.Now().Sub(by.ProvenAt) >= auth.ProvenLife {
		return ErrProofOld
	}
	return nil
}

// ChangePassword gives the account another main password and ends all sessions, those of app passwords too. Errors:
// [ErrProofOld], [accounts.ErrPasswordLength], [accounts.ErrBusy], [auth.ErrAccountNotFound].
func (a *Acts) ChangePassword(ctx context.Context, t *tenant.Tenant, by Owner, password string) error {
	if err := a.fresh(by); err != nil {
		return err
	}
	if err := accounts.CheckNewPassword(&t.Settings, password); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, by.From, password)
	if err != nil {
		return err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if _, err := accounts.SetPassword(ctx, q, by.AID, hash); err != nil {
			return ended(err)
		}
		return a.told(ctx, q, t, by, mail.Note{Kind: mail.KindPassword})
	})
	if err == nil {
		a.Actors.Forget(t.Schema, by.DID) // the access tokens that are out are dead
		a.Outbox.Wake(t)
	}
	return err
}

// told queues the notice of what an owner has done, and writes it into the account's own log, in the transaction of it. If
// it was somebody else, the owner learns it from the mail.
func (a *Acts) told(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, by Owner, note mail.Note) error {
	who, err := ownAccount(ctx, q, by)
	if err != nil {
		return fmt.Errorf("tell of %s: %w", note.Kind, err)
	}
	return a.toldOf(ctx, q, t, by, who, note)
}

// toldOf is told where the account was read already: its address may be another one afterwards.
func (a *Acts) toldOf(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, by Owner, who *accounts.Account, note mail.Note) error {
	note.Lang = by.Language
	if err := a.note(ctx, q, by.Visitor, who.AID, accounts.Event(note.Kind), note.Detail); err != nil {
		return err
	}
	return a.tellOwner(ctx, q, t, who, note)
}
