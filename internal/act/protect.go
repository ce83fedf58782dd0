package act

import (
	"context"
	"errors"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actConfirmAuthenticator = "org.auroralocus.server.confirmAuthenticator"
	actDisableAuthenticator = "org.auroralocus.server.disableAuthenticator"
	actBackupCodes          = "org.auroralocus.server.createBackupCodes"
	actEmailFactor          = "org.auroralocus.server.setEmailFactor"
)

// Proof is what a change of how an account is protected asks for beside the session. An [Owner] who has given one a short
// while ago in this browser needs none.
type Proof struct {
	Password string // the main one
	Code     string // of a second factor, when one is on; alone where there is no password
	Passkey  []byte // or the answer of a passkey to [Acts.AskProof], which is enough
}

// protection is a change of how an account is protected, on its way through its transaction.
type protection struct {
	acts    *Acts
	tenant  *tenant.Tenant
	by      Owner
	secrets *auth.Secrets
	who     *accounts.Account
	q       *tenantdb.Queries
}

// BeginAuthenticator draws the secret of an authenticator app. It counts once a code of it was seen. Errors: those of
// [Acts.protect], [accounts.ErrAuthenticatorOn].
func (a *Acts) BeginAuthenticator(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof) (made accounts.Authenticator, err error) {
	factors, err := ownFactors(ctx, a.DB.Tenant(t.Schema).Q(), by.AID)
	if err == nil && factors.App {
		err = accounts.ErrAuthenticatorOn
	}
	if err != nil {
		return made, err
	}
	err = a.protect(ctx, t, by, &proof, func(p protection) error {
		name := p.who.Handle
		if name == "" {
			name = p.who.DID
		}
		made = accounts.NewAuthenticator(t.Hostname, name)
		return accounts.InsertAuthenticator(ctx, p.q, a.Keys, t.Schema, a.Now(), by.AID, made)
	})
	return made, err
}

// ConfirmOwnAuthenticator switches an authenticator app on, by a code that it shows, and gives backup codes. The password
// was asked for when it was begun. Errors: [WaitError], [accounts.ErrNoAuthenticator], [accounts.ErrTokenInvalid],
// [auth.ErrAccountNotFound].
func (a *Acts) ConfirmOwnAuthenticator(ctx context.Context, t *tenant.Tenant, by Owner, code string) (backup []string, err error) {
	err = a.protect(ctx, t, by, nil, func(p protection) (err error) {
		if err := accounts.ConfirmAuthenticator(ctx, p.q, a.Keys, t.Schema, a.Now(), by.AID, code); err != nil {
			return err
		}
		if backup, err = accounts.ReplaceBackupCodes(ctx, p.q, p.secrets.Typed(), by.AID); err != nil {
			return err
		}
		return p.tell(ctx, actConfirmAuthenticator, mail.KindAppFactorOn, "")
	})
	return backup, err
}

// DisableAuthenticator switches the authenticator app off. One that was begun and not confirmed is no factor yet, and is
// not found here. Errors: those of [Acts.protect], [accounts.ErrNoAuthenticator].
func (a *Acts) DisableAuthenticator(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof) error {
	return a.protect(ctx, t, by, &proof, func(p protection) error {
		if err := p.hasAuthenticator(ctx); err != nil {
			return err
		}
		if err := accounts.DeleteAuthenticator(ctx, p.q, by.AID); err != nil {
			return err
		}
		return p.tell(ctx, actDisableAuthenticator, mail.KindAppFactorOff, "")
	})
}

// DrawBackupCodes draws backup codes anew, and shows them this one time. Errors: those of [Acts.protect],
// [accounts.ErrNoAuthenticator].
func (a *Acts) DrawBackupCodes(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof) (codes []string, err error) {
	err = a.protect(ctx, t, by, &proof, func(p protection) (err error) {
		if err := p.hasAuthenticator(ctx); err != nil {
			return err
		}
		if codes, err = accounts.ReplaceBackupCodes(ctx, p.q, p.secrets.Typed(), by.AID); err != nil {
			return err
		}
		return p.tell(ctx, actBackupCodes, mail.KindBackupCodes, "")
	})
	return codes, err
}

// SetEmailFactor switches mailed codes at sign-in on or off. Errors: those of [Acts.protect],
// [accounts.ErrEmailUnconfirmed].
func (a *Acts) SetEmailFactor(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof, on bool) error {
	return a.protect(ctx, t, by, &proof, func(p protection) error {
		if p.who.EmailFactor == on && (p.who.EmailConfirmed || !on) {
			return nil // as it was: nobody is told
		}
		if err := accounts.SetEmailFactor(ctx, p.q, p.who, on); err != nil {
			return err
		}
		if on {
			return p.tell(ctx, actEmailFactor, mail.KindEmailFactorOn, "")
		}
		return p.tell(ctx, actEmailFactor, mail.KindEmailFactorOff, "")
	})
}

// ConfirmSession has a second factor shown again, and gives an access token that says so until a certain time. Errors:
// those of [Acts.protect].
func (a *Acts) ConfirmSession(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof) (access string, until time.Time, err error) {
	err = a.protect(ctx, t, by, &proof, func(p protection) error {
		epochs, err := auth.Hold(ctx, p.q, by.DID)
		if err == nil {
			access, until, err = a.Sessions.Confirm(t, p.secrets, by.DID, epochs)
		}
		return err
	})
	return access, until, err
}

// protect runs change in a transaction once the owner has proved who it is, as at a sign-in. A new factor is another
// way in, so adding one takes a code of a factor that is on, too. Wrong passwords and codes count as refused sign-ins
// do. A code is used up by the change, or not at all. A nil proof asks for nothing: the change itself checks a code.
// Errors: [WaitError], [ErrPassword], [accounts.ErrBusy], [accounts.ErrFactorApp], [accounts.ErrFactorMailed],
// [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], [auth.ErrAccountNotFound]; with a passkey
// [passkey.ErrRefused], [passkey.ErrExpired], [passkey.ErrCloned].
func (a *Acts) protect(ctx context.Context, t *tenant.Tenant, by Owner, proof *Proof, change func(protection) error) error {
	tdb := a.DB.Tenant(t.Schema)
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	if a.fresh(by) == nil {
		proof = nil
	}
	try, err := a.enter(ctx, t, by.Visitor, by.DID)
	if err != nil {
		return err
	}
	guessed, err := a.prove(ctx, t, by, secrets, proof)
	if err == nil {
		err = tdb.Tx(ctx, func(q *tenantdb.Queries) error {
			who, err := ownAccount(ctx, q, by)
			if err == nil && proof != nil && proof.Passkey == nil {
				err = a.useFactor(ctx, t, q, secrets, who.AID, proof.Code)
			}
			if err != nil {
				return err
			}
			return change(protection{acts: a, tenant: t, by: by, secrets: secrets, who: who, q: q})
		})
	}
	if err == nil {
		err = guessed(ctx)
	}
	err = try.leave(ctx, err)
	if errors.Is(err, accounts.ErrCredentials) || errors.Is(err, accounts.ErrPasswordTooLong) {
		return ErrPassword // the session is good all the same
	}
	if err == nil {
		a.Outbox.Wake(t)
	}
	return err
}

// prove looks at the passkey or at the password, and asks for the code where it is missing. guessed is called after the
// code was used.
func (a *Acts) prove(ctx context.Context, t *tenant.Tenant, by Owner, secrets *auth.Secrets, proof *Proof) (guessed func(context.Context) error, err error) {
	guessed = func(context.Context) error { return nil }
	if proof == nil {
		return guessed, nil
	}
	who, err := a.password(ctx, t, by, proof)
	if err != nil || proof.Passkey != nil {
		return guessed, err
	}
	if proof.Code == "" {
		// It mails a code, if that is the factor, and asks for one in any case.
		_, err := a.secondFactor(ctx, t, by.Visitor, secrets, who, "", mail.KindFactorChange)
		return guessed, err
	}
	factors, err := ownFactors(ctx, a.DB.Tenant(t.Schema).Q(), who.AID)
	if err != nil {
		return nil, err
	}
	return a.guess(ctx, t, by.Visitor, who.DID, factors, proof.Code)
}

// password looks at what is shown first: a passkey, which is enough, or the password. An account without one goes by the
// code of its second factor.
func (a *Acts) password(ctx context.Context, t *tenant.Tenant, by Owner, proof *Proof) (*accounts.Account, error) {
	q := a.DB.Tenant(t.Schema).Q()
	if proof.Password != "" && proof.Passkey == nil {
		return a.Passwords.Authenticate(ctx, by.From, q, by.DID, proof.Password)
	}
	who, err := ownAccount(ctx, q, by)
	if err != nil {
		return nil, err
	}
	if proof.Passkey != nil {
		answer, err := passkey.Read(proof.Passkey)
		if err != nil {
			return nil, err
		}
		return who, a.usePasskey(ctx, t, by.Visitor, who, answer, passkey.Bound{For: passkey.ToProve, Browser: by.Browser, AID: by.AID})
	}
	factors, err := ownFactors(ctx, q, who.AID)
	if err == nil && (who.HasPassword() || !factors.Any()) {
		err = accounts.ErrCredentials
	}
	return who, err
}

// useFactor uses a code up, where a second factor is on.
func (a *Acts) useFactor(ctx context.Context, t *tenant.Tenant, q *tenantdb.Queries, secrets *auth.Secrets, aid int64, code string) error {
	factors, err := ownFactors(ctx, q, aid)
	if err != nil || !factors.Any() {
		return err
	}
	return accounts.UseFactor(ctx, q, a.Keys, secrets.Typed(), t.Schema, a.Now(), aid, factors, code)
}

// hasAuthenticator refuses accounts whose authenticator is not on.
func (p protection) hasAuthenticator(ctx context.Context) error {
	factors, err := ownFactors(ctx, p.q, p.who.AID)
	if err == nil && !factors.App {
		err = accounts.ErrNoAuthenticator
	}
	return err
}

// tell writes the change down, in the tenant's log and in the account's own, and queues a notice to the account's owner,
// in the change's transaction: if somebody else did this, the owner learns it from the mail. No browser is trusted any
// more: it was by what counted before.
func (p protection) tell(ctx context.Context, action string, notice mail.Kind, detail string) error {
	e := audit.Entry{
		At: p.acts.Now().UTC(), Who: p.by.DID, Action: action, Subject: p.by.DID,
		Address: p.by.Address, RequestID: p.by.RequestID, Outcome: audit.Done,
	}
	if err := audit.Insert(ctx, p.q, e, 0, map[string]string{"change": string(notice)}); err != nil {
		return err
	}
	if _, err := accounts.Distrust(ctx, p.q, p.by.AID, nil); err != nil {
		return err
	}
	if err := p.acts.note(ctx, p.q, p.by.Visitor, p.by.AID, accounts.Event(notice), detail); err != nil {
		return err
	}
	return p.acts.tellOwner(ctx, p.q, p.tenant, p.who, mail.Note{Kind: notice, Lang: p.by.Language})
}

// confirmed refuses what a session alone may not do where a second factor is on: whoever stole the session could open a
// way in beside the factor, one that stays. It is enough that the owner's token was made for a code, a short while ago.
// Errors: [accounts.ErrFactorOld].
func (a *Acts) confirmed(by Owner, factors accounts.Factors) error {
	if !factors.Any() || a.fresh(by) == nil || by.ProvenSince(a.Now().Add(-auth.ProvenLife)) {
		return nil
	}
	return accounts.ErrFactorOld
}
