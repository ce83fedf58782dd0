package act

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actOAuthOnly      = "org.auroralocus.server.setOAuthOnly"
	actRemovePassword = "org.auroralocus.server.removePassword"
)

// AskProof is what the owner's browser is given so that a passkey proves that it is the owner who sits there: the JSON of
// PublicKeyCredentialRequestOptions, and nil where the account has no passkey. It stores nothing.
// Errors: [passkey.ErrHost].
func (a *Acts) AskProof(ctx context.Context, t *tenant.Tenant, by Owner) ([]byte, error) {
	p, secrets, err := a.party(ctx, t)
	if err != nil {
		return nil, err
	}
	who, err := a.person(ctx, t, by)
	if err != nil || len(who.Keys) == 0 {
		return nil, err
	}
	return passkey.Ask(p, secrets.Typed(), a.Now(), passkey.Bound{For: passkey.ToProve, Browser: by.Browser, AID: by.AID}, &who)
}

// Prove has the owner show once more who it is: by a passkey, or by the password with a code where a second factor is on,
// or by a code where there is no password. It counts in this browser for [device.ProofLife]. Errors: those of
// [Acts.protect], [device.ErrUnknown].
func (a *Acts) Prove(ctx context.Context, t *tenant.Tenant, by Owner, b Browser, s device.SignedIn, proof Proof) (*device.Device, error) {
	by.ProvenAt = time.Time{} // an earlier proof is none for this one
	err := a.protect(ctx, t, by, &proof, func(protection) error { return nil })
	if err != nil {
		return nil, err
	}
	return a.ProveDevice(ctx, t, b, s)
}

// TrustedBrowsers lists the browsers in which the owner is asked for no second factor.
func (a *Acts) TrustedBrowsers(ctx context.Context, t *tenant.Tenant, by Owner) ([]accounts.Trusted, error) {
	return accounts.TrustedBrowsers(ctx, a.DB.Tenant(t.Schema).Q(), a.Now(), by.AID)
}

// Distrust ends the trust in one of the owner's browsers, by the name that the list of devices has, or in all: "".
func (a *Acts) Distrust(ctx context.Context, t *tenant.Tenant, by Owner, name string) error {
	var key []byte
	if name != "" {
		var err error
		if key, err = base64.RawURLEncoding.DecodeString(name); err != nil || len(key) == 0 {
			return device.ErrUnknown
		}
	}
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		n, err := accounts.Distrust(ctx, q, by.AID, key)
		if err != nil || n == 0 {
			return err
		}
		return a.note(ctx, q, by.Visitor, by.AID, accounts.EventDistrusted, "")
	})
}

// SetOAuthOnly says whether apps may sign in with the main password. When they may not, those that did are signed out.
// Errors: those of [Acts.protect].
func (a *Acts) SetOAuthOnly(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof, on bool) error {
	err := a.protect(ctx, t, by, &proof, func(p protection) error {
		changed, err := accounts.SetOAuthOnly(ctx, p.q, by.AID, on)
		if err != nil || !changed {
			return ended(err)
		}
		kind := mail.KindOAuthOnlyOff
		if on {
			kind = mail.KindOAuthOnlyOn
		}
		return p.tell(ctx, actOAuthOnly, kind, "")
	})
	if err == nil {
		a.Actors.Forget(t.Schema, by.DID)
	}
	return err
}

// RemovePassword takes the main password from the owner's account, which lives by its passkeys from then on. A password
// can be set again by a mailed code. Errors: those of [Acts.protect], [ErrLastWayIn].
func (a *Acts) RemovePassword(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof) error {
	err := a.protect(ctx, t, by, &proof, func(p protection) error {
		who, err := lockOwnAccount(ctx, p.q, by)
		if err != nil || !who.HasPassword() {
			return err
		}
		keys, err := p.q.CountPasskeys(ctx, by.AID)
		if err != nil {
			return err
		}
		if keys == 0 {
			return ErrLastWayIn
		}
		if _, err := accounts.RemovePassword(ctx, p.q, by.AID); err != nil {
			return ended(err)
		}
		return p.tell(ctx, actRemovePassword, mail.KindPasswordRemoved, "")
	})
	if err == nil {
		a.Actors.Forget(t.Schema, by.DID)
	}
	return err
}

// Activity reads the log of the owner's account.
func (a *Acts) Activity(ctx context.Context, t *tenant.Tenant, by Owner) (*accounts.Log, error) {
	return accounts.ReadLog(ctx, a.DB.Tenant(t.Schema).Q(), by.AID)
}

// SignOutEverywhere ends all sessions of the owner's account, on browsers and of apps, also of those that it let in, and
// trusts no browser any more. Errors: [auth.ErrAccountNotFound].
func (a *Acts) SignOutEverywhere(ctx context.Context, t *tenant.Tenant, by Owner) error {
	err := a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := signOutEverywhere(ctx, q, by.AID); err != nil {
			return ended(err)
		}
		return a.note(ctx, q, by.Visitor, by.AID, accounts.EventSignedOut, "")
	})
	if err == nil {
		a.Actors.Forget(t.Schema, by.DID)
	}
	return err
}

// signOutEverywhere ends all sessions of an account. Errors: [accounts.ErrNotFound].
func signOutEverywhere(ctx context.Context, q *tenantdb.Queries, aid int64) error {
	if _, err := accounts.EndSessions(ctx, q, aid); err != nil {
		return err
	}
	if _, err := endApps(ctx, q, aid); err != nil {
		return err
	}
	if err := q.DeleteDeviceAccountsOf(ctx, aid); err != nil {
		return err
	}
	_, err := accounts.Distrust(ctx, q, aid, nil)
	return err
}
