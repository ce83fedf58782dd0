package act

import (
	"context"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/agent"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actOAuthOnly      = "org.auroralocus.server.setOAuthOnly"
	actRemovePassword = "org.auroralocus.server.removePassword"
)

// browser is where the visitor sits.
func (v Visitor) browser() accounts.Browser {
	return accounts.Browser{Device: v.Browser, Agent: agent.Words(v.Agent), Address: v.address()}
}

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
// or by a code where there is no password. It counts in this browser for [accounts.ProvenTime]. Errors: those of
// [Acts.protect].
func (a *Acts) Prove(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof) (until time.Time, err error) {
	by.ProvenAt = time.Time{} // an earlier proof is none for this one
	err = a.protect(ctx, t, by, &proof, func(p protection) error {
		now := a.Now()
		until = now.Add(accounts.ProvenTime)
		if by.Browser == "" {
			until = now
			return nil
		}
		return accounts.SetProven(ctx, p.q, now, by.AID, by.browser())
	})
	return until, err
}

// ProvenAt is when an account's owner has last proved in a browser who it is: zero when that does not count any more. A
// page puts it into its [Owner].
func (a *Acts) ProvenAt(ctx context.Context, t *tenant.Tenant, aid int64, browser string) (time.Time, error) {
	proven, _, err := accounts.Shown(ctx, a.DB.Tenant(t.Schema).Q(), a.Now(), aid, browser)
	return proven, err
}

// TrustedBrowsers lists the browsers in which the owner is asked for no second factor.
func (a *Acts) TrustedBrowsers(ctx context.Context, t *tenant.Tenant, by Owner) ([]accounts.Trusted, error) {
	return accounts.TrustedBrowsers(ctx, a.DB.Tenant(t.Schema).Q(), a.Now(), by.AID)
}

// trust has the visitor's browser be asked for no second factor of an account, in the transaction of a sign-in that has
// shown one.
func (a *Acts) trust(ctx context.Context, q *tenantdb.Queries, v Visitor, aid int64) error {
	if v.Browser == "" {
		return nil
	}
	if err := accounts.SetTrusted(ctx, q, a.Now(), aid, v.browser()); err != nil {
		return err
	}
	return a.note(ctx, q, v, aid, accounts.EventTrusted, "")
}

// Distrust ends the trust in one of the owner's browsers, or in all: browser "".
func (a *Acts) Distrust(ctx context.Context, t *tenant.Tenant, by Owner, browser string) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		n, err := accounts.Distrust(ctx, q, by.AID, browser)
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
