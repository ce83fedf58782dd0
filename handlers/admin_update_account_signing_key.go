package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// keyTime bounds a change of key once the DID's directory was told.
const keyTime = 30 * time.Second

// updateAccountSigningKey gives an account another signing key: one that reserveSigningKey made, because only of those
// the private half is here. The DID document is changed first, then the key, and with it comes a new commit of the same
// tree, signed by it: a document and a repository that do not fit would be refused everywhere.
// spec: lexicon com.atproto.admin.updateAccountSigningKey
func (m adminMethods) updateAccountSigningKey(ctx context.Context, c operatorCaller, in *adminUpdateAccountSigningKeyInput) (*adminUpdateAccountSigningKeyOutput, error) {
	a, err := m.account(ctx, c, string(in.Body.DID))
	if err != nil {
		return nil, err
	}
	q := m.db.Tenant(c.Tenant.Schema).Q()
	if err := accounts.NotAwaiting(ctx, q, a.AID); err != nil {
		return nil, err // its DID document is not there yet, or not ours to change
	}
	public := string(in.Body.SigningKey)
	reserved, err := q.GetReservedKeyByPublic(ctx, public)
	if db.IsNoRows(err) || err == nil && (!reserved.ExpiresAt.After(m.now()) || reserved.DID != nil && *reserved.DID != a.DID) {
		return nil, invalid("signingKey must be a key that reserveSigningKey made here, for this account or for nobody in particular")
	}
	if err != nil {
		return nil, fmt.Errorf("reserved key %s: %w", public, err)
	}
	signer, err := m.server.keys.Signer(c.Tenant.Schema.String(), 0, reserved.Sealed)
	if err != nil {
		return nil, fmt.Errorf("reserved key %s: %w", public, err)
	}
	if err := m.changeKey(ctx, c, a, signer); err != nil {
		return nil, err
	}
	return new(adminUpdateAccountSigningKeyOutput), nil
}

func (m adminMethods) changeKey(ctx context.Context, c operatorCaller, a *accounts.Account, signer *keyring.Signer) error {
	schema := c.Tenant.Schema
	sealed, err := m.server.keys.SealSigningKey(schema.String(), a.AID, signer)
	if err != nil {
		return fmt.Errorf("seal signing key of %s: %w", a.DID, err)
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTime)
	defer cancel()
	if err := m.identity.announceKey(ctx, c.Tenant, a.DID, signer.PublicDIDKey()); err != nil {
		return err
	}
	err = m.act(ctx, c, a.DID, map[string]any{"signingKey": signer.PublicDIDKey()}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		now := m.now()
		head, block, err := repodb.Resign(ctx, q, a.AID, signer, now)
		if err != nil {
			return nil, err
		}
		err = q.UpdateSigningKey(ctx, tenantdb.UpdateSigningKeyParams{AID: a.AID, Sealed: sealed, Public: signer.PublicDIDKey(), CreatedAt: now})
		if err == nil {
			err = q.DeleteReservedKeyByPublic(ctx, signer.PublicDIDKey())
		}
		if err != nil {
			return nil, fmt.Errorf("change signing key of %s: %w", a.DID, err)
		}
		return []firehose.Event{
			firehose.NewIdentity(a.AID, a.DID, a.Handle, now),
			firehose.NewSync(a.AID, a.DID, head.Rev, head.CID, block, now),
		}, nil
	})
	m.server.keys.Forget(schema.String(), a.AID)
	if forgetErr := m.server.repos.Forget(ctx, schema, a.AID); err == nil {
		err = forgetErr
	}
	if _, refreshErr := m.identity.documents.Refresh(ctx, a.DID); refreshErr != nil {
		m.server.log.Info("refresh of a DID document after a change of key", "did", a.DID, "err", refreshErr)
	}
	if errors.Is(err, repodb.ErrRepoNotFound) {
		return noAccount(accounts.ErrNotFound)
	}
	return err
}

// announceKey has the DID document name the key. The owner of a did:web does it, and must have done it.
func (m identityMethods) announceKey(ctx context.Context, t *tenant.Tenant, did, key string) error {
	if !strings.HasPrefix(did, "did:plc:") {
		doc, err := m.documents.Refresh(ctx, did)
		if err != nil {
			return err
		}
		if have, err := doc.SigningKey(); err != nil || have != key {
			return invalid("The DID document does not name this key")
		}
		return nil
	}
	rotation, err := m.tenants.RotationSigner(ctx, t)
	if err != nil {
		return err
	}
	for range plcTries {
		last, lastErr := m.directory.Last(ctx, did)
		if lastErr != nil {
			return lastErr
		}
		now, formErr := identity.RegularForm(last)
		if formErr != nil {
			return formErr
		}
		if now.VerificationMethods[identity.KeyAtproto] == key {
			return nil
		}
		op, updateErr := identity.NewUpdate(last, rotation, func(op *didplc.RegularOp) {
			if op.VerificationMethods == nil {
				op.VerificationMethods = map[string]string{}
			}
			op.VerificationMethods[identity.KeyAtproto] = key
		})
		if updateErr != nil {
			return updateErr
		}
		if err = m.directory.Submit(ctx, did, op); !errors.Is(err, identity.ErrOperationConflict) {
			break
		}
	}
	return err
}
