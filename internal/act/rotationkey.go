package act

import (
	"context"
	"slices"
	"strings"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// maxRotationKeys is what the directory takes.
	maxRotationKeys = 10
	// maxDIDKey bounds what is looked at, in bytes: a key of the two kinds has 57.
	maxDIDKey = 128
)

// Keys are the keys of an identity, as its directory has them now.
type Keys struct {
	Rotation []RotationKey // the most powerful first
	Signing  string        // did:key that the repository is signed with
}

// RotationKey is a key that may change an identity. One may undo within 72 hours what a lower one has done.
// spec: did-plc#key-rotation--account-recovery
type RotationKey struct {
	Key  string // did:key
	Ours bool   // the tenant's
}

// OwnKeys are the keys of the owner's identity. A did:web has no rotation keys: whoever has the domain has the identity.
// Errors: those of the DID's directory.
func (a *Acts) OwnKeys(ctx context.Context, t *tenant.Tenant, by Owner) (Keys, error) {
	var keys Keys
	signer, err := accounts.Signer(ctx, a.DB.Tenant(t.Schema).Q(), a.Keys, t.Schema, by.AID)
	if err != nil {
		return keys, Gone(err)
	}
	keys.Signing = signer.PublicDIDKey()
	if !strings.HasPrefix(by.DID, "did:plc:") {
		return keys, nil
	}
	ours, err := a.Tenants.RotationSigner(ctx, t)
	if err != nil {
		return keys, err
	}
	last, err := a.Directory.Last(ctx, by.DID)
	if err != nil {
		return keys, err
	}
	now, err := identity.RegularForm(last)
	if err != nil {
		return keys, err
	}
	for _, key := range now.RotationKeys {
		keys.Rotation = append(keys.Rotation, RotationKey{key, key == ours.PublicDIDKey()})
	}
	return keys, nil
}

// CheckRotationKey says whether an identity may have a key. Errors: [ErrRotationKey].
func CheckRotationKey(key string) error {
	if len(key) > maxDIDKey {
		return ErrRotationKey
	}
	if _, err := atcrypto.ParsePublicDIDKey(key); err != nil {
		return ErrRotationKey
	}
	return nil
}

// AddRotationKey puts a key of the owner's own above all others, by the token of [Acts.RequestOperationSignature].
// Errors: [ErrProofOld], [ErrRotationKey], [ErrRotationKeyThere], [ErrRotationKeys], [ErrOperation],
// [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], those of the DID's directory.
func (a *Acts) AddRotationKey(ctx context.Context, t *tenant.Tenant, by Owner, token, key string) error {
	key = strings.TrimSpace(key)
	if err := CheckRotationKey(key); err != nil {
		return err
	}
	return a.changeRotationKeys(ctx, t, by, token, mail.Note{Kind: mail.KindRotationKeyOn, Detail: key}, func(keys []string, _ string) ([]string, error) {
		switch {
		case slices.Contains(keys, key):
			return nil, ErrRotationKeyThere
		case len(keys) >= maxRotationKeys:
			return nil, ErrRotationKeys
		}
		return slices.Insert(keys, 0, key), nil
	})
}

// RemoveRotationKey takes a rotation key away that is not the tenant's, by a token as [Acts.AddRotationKey]. One that is
// not there is no error. Errors: those of AddRotationKey, [ErrRotationKeyOurs].
func (a *Acts) RemoveRotationKey(ctx context.Context, t *tenant.Tenant, by Owner, token, key string) error {
	return a.changeRotationKeys(ctx, t, by, token, mail.Note{Kind: mail.KindRotationKeyOff, Detail: key}, func(keys []string, ours string) ([]string, error) {
		if key == ours {
			return nil, ErrRotationKeyOurs
		}
		return slices.DeleteFunc(keys, func(k string) bool { return k == key }), nil
	})
}

// changeRotationKeys has the directory take other rotation keys. What cannot be is found out before the token is used
// up, and the token is used up before the directory is told: a code that was mailed once changes keys once.
func (a *Acts) changeRotationKeys(ctx context.Context, t *tenant.Tenant, by Owner, token string, note mail.Note, change func(keys []string, ours string) ([]string, error)) error {
	if err := a.fresh(by); err != nil {
		return err
	}
	if !strings.HasPrefix(by.DID, "did:plc:") {
		return unusable("Only did:plc has rotation keys")
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	ours, err := a.Tenants.RotationSigner(ctx, t)
	if err != nil {
		return err
	}
	last, err := a.Directory.Last(ctx, by.DID)
	if err != nil {
		return err
	}
	now, err := identity.RegularForm(last)
	if err != nil {
		return err
	}
	want, err := change(slices.Clone(now.RotationKeys), ours.PublicDIDKey())
	if err != nil {
		return err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return a.useToken(ctx, q, secrets, by.AID, accounts.TokenPLCOperation, token)
	})
	if err != nil {
		return err
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTime)
	defer cancel()
	op, err := identity.NewUpdate(last, ours, func(op *didplc.RegularOp) { op.RotationKeys = want })
	if err != nil {
		return err
	}
	if err := a.submit(ctx, t, by.DID, op); err != nil {
		return err
	}
	a.announceKeys(ctx, t, by, note)
	return nil
}

// announceKeys tells the stream, and the owner, of keys that the directory has taken. What fails is logged: it has
// happened all the same.
func (a *Acts) announceKeys(ctx context.Context, t *tenant.Tenant, by Owner, note mail.Note) {
	err := a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if _, err := q.LockActor(ctx, by.AID); err != nil {
			return nil, err
		}
		if err := a.told(ctx, q, t, by, note); err != nil {
			return nil, err
		}
		return []firehose.Event{firehose.NewIdentity(by.AID, by.DID, "", a.Now())}, nil
	})
	if err != nil {
		a.Log.ErrorContext(ctx, "no identity event for a change of rotation keys", "did", by.DID, "err", err)
		return
	}
	a.Outbox.Wake(t)
	a.refreshDocument(ctx, t, by.DID, "its keys")
}
