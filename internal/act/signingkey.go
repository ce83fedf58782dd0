package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

const actSigningKey = "com.atproto.admin.updateAccountSigningKey"

// keyTime bounds a change of key once the DID's directory was told.
const keyTime = 30 * time.Second

// ReserveSigningKey makes the key of an account that is to move here, and tells its public half. Asked again for the same
// DID it gives the same key, until it expires. Anybody may ask, so there are only so many, and who asks for many loses the
// oldest.
func (a *Acts) ReserveSigningKey(ctx context.Context, t *tenant.Tenant, v Visitor, did string) (public string, err error) {
	return a.reserve(ctx, t, v.From, did)
}

func (a *Acts) reserve(ctx context.Context, t *tenant.Tenant, from fair.Path, did string) (public string, err error) {
	r, err := accounts.NewReservation(a.Keys, t, did, a.Now())
	if err != nil {
		return "", err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		public, err = r.Store(ctx, q, from)
		return err
	})
	return public, err
}

// RotateSigningKey gives an account a new signing key, made here, and tells its public half. A key that is reserved for
// the account is taken: the owner of a did:web has to put it into the document first, and learns it from the refusal.
// Errors: those of [Acts.ChangeSigningKey].
func (a *Acts) RotateSigningKey(ctx context.Context, t *tenant.Tenant, by Operator, did string) (public string, err error) {
	if _, err := a.changeable(ctx, t, did); err != nil {
		return "", err
	}
	if public, err = a.reserve(ctx, t, nil, did); err != nil {
		return "", err
	}
	return public, a.ChangeSigningKey(ctx, t, by, did, public)
}

// ChangeSigningKey gives an account another signing key: one that was reserved here, because only of those the private
// half is here. The DID document is changed first, then the key, and with it comes a new commit of the same tree, signed
// by it: a document and a repository that do not fit would be refused everywhere.
// Errors: [accounts.ErrNotFound], [accounts.ErrAwaiting], [ErrKeyNotReserved], [ErrDocumentKey], those of the DID's
// directory.
func (a *Acts) ChangeSigningKey(ctx context.Context, t *tenant.Tenant, by Operator, did, public string) error {
	who, err := a.changeable(ctx, t, did)
	if err != nil {
		return err
	}
	reserved, err := a.DB.Tenant(t.Schema).Q().GetReservedKeyByPublic(ctx, public)
	if db.IsNoRows(err) || err == nil && (!reserved.ExpiresAt.After(a.Now()) || reserved.DID != nil && *reserved.DID != who.DID) {
		return ErrKeyNotReserved
	}
	if err != nil {
		return fmt.Errorf("reserved key %s: %w", public, err)
	}
	signer, err := a.Keys.Signer(t.Schema.String(), 0, reserved.Sealed)
	if err != nil {
		return fmt.Errorf("reserved key %s: %w", public, err)
	}
	return a.changeKey(ctx, t, by, who, signer)
}

// changeable is an account whose DID document is ours to change: while a sign-up waits there is none yet, or it is
// another server's.
func (a *Acts) changeable(ctx context.Context, t *tenant.Tenant, did string) (*accounts.Account, error) {
	who, err := a.find(ctx, t, did)
	if err != nil {
		return nil, err
	}
	return who, accounts.NotAwaiting(ctx, a.DB.Tenant(t.Schema).Q(), who.AID)
}

func (a *Acts) changeKey(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account, signer *keyring.Signer) error {
	sealed, err := a.Keys.SealSigningKey(t.Schema.String(), who.AID, signer)
	if err != nil {
		return fmt.Errorf("seal signing key of %s: %w", who.DID, err)
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTime)
	defer cancel()
	if err := a.announceKey(ctx, t, who.DID, signer.PublicDIDKey()); err != nil {
		return err
	}
	detail := map[string]any{"signingKey": signer.PublicDIDKey()}
	err = a.change(ctx, t, by, actSigningKey, deed{who.DID, detail}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		now := a.Now()
		head, block, err := repodb.Resign(ctx, q, who.AID, signer, now)
		if err != nil {
			return nil, err
		}
		err = q.UpdateSigningKey(ctx, tenantdb.UpdateSigningKeyParams{AID: who.AID, Sealed: sealed, Public: signer.PublicDIDKey(), CreatedAt: now})
		if err == nil {
			err = q.DeleteReservedKeyByPublic(ctx, signer.PublicDIDKey())
		}
		if err != nil {
			return nil, fmt.Errorf("change signing key of %s: %w", who.DID, err)
		}
		return []firehose.Event{
			firehose.NewIdentity(who.AID, who.DID, who.Handle, now),
			firehose.NewSync(who.AID, who.DID, head.Rev, head.CID, block, now),
		}, nil
	})
	a.Keys.Forget(t.Schema.String(), who.AID)
	if forgetErr := a.Repos.Forget(ctx, t.Schema, who.AID); err == nil {
		err = forgetErr
	}
	a.refreshDocument(ctx, t, who.DID, "key")
	if errors.Is(err, repodb.ErrRepoNotFound) {
		return accounts.ErrNotFound
	}
	return err
}

// announceKey has the DID document name the key.
func (a *Acts) announceKey(ctx context.Context, t *tenant.Tenant, did, key string) error {
	return a.announce(ctx, t, did, announcement{
		named: func(doc *identity.Document) error {
			if have, err := doc.SigningKey(); err != nil || have != key {
				return ErrDocumentKey
			}
			return nil
		},
		done: func(now *didplc.RegularOp) bool { return now.VerificationMethods[identity.KeyAtproto] == key },
		edit: func(op *didplc.RegularOp) {
			if op.VerificationMethods == nil {
				op.VerificationMethods = map[string]string{}
			}
			op.VerificationMethods[identity.KeyAtproto] = key
		},
	})
}
