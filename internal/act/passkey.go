package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actAddPasskey    = "org.auroralocus.server.addPasskey"
	actRenamePasskey = "org.auroralocus.server.renamePasskey"
	actRemovePasskey = "org.auroralocus.server.deletePasskey"
)

// AskPasskey is what a visitor's browser is given to sign in by any passkey of the tenant's: the JSON of
// PublicKeyCredentialRequestOptions. It stores nothing. Errors: [passkey.ErrHost].
func (a *Acts) AskPasskey(ctx context.Context, t *tenant.Tenant, v Visitor) ([]byte, error) {
	p, secrets, err := a.party(ctx, t)
	if err != nil {
		return nil, err
	}
	return passkey.Ask(p, secrets.Typed(), a.Now(), passkey.Bound{For: passkey.ToSignIn, Browser: v.Browser}, nil)
}

// ShowPasskey finds out whose passkey has answered. It is proof enough: the key asked for a finger, a face or a PIN. What
// the account's state means is the caller's to say. Errors: [WaitError], [passkey.ErrRefused], [passkey.ErrExpired],
// [passkey.ErrCloned], [passkey.ErrHost].
func (a *Acts) ShowPasskey(ctx context.Context, t *tenant.Tenant, v Visitor, answer []byte) (*accounts.Account, error) {
	read, err := passkey.Read(answer)
	if err != nil {
		return nil, err
	}
	try, err := a.enter(ctx, t, v, string(read.Handle()))
	if err != nil {
		return nil, err
	}
	who, err := a.owner(ctx, t, read)
	if err == nil {
		err = a.usePasskey(ctx, t, v, who, read, passkey.Bound{For: passkey.ToSignIn, Browser: v.Browser})
	}
	if err := try.leave(ctx, err); err != nil {
		return nil, err
	}
	return who, nil
}

// SignInDeviceByPasskey signs an account in on a browser by a passkey that has answered to [Acts.AskPasskey]. Errors: those
// of [Acts.ShowPasskey], [auth.ErrAccountTakedown] unless takendown, [device.ErrAccounts].
func (a *Acts) SignInDeviceByPasskey(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser, answer []byte, takendown bool, stay device.Stay) (*device.Device, *accounts.Account, error) {
	who, err := a.ShowPasskey(ctx, t, v, answer)
	if err != nil {
		return nil, nil, err
	}
	if who.TakenDown && !takendown {
		return nil, nil, auth.ErrAccountTakedown
	}
	d, err := a.enterDevice(ctx, t, b, who, stay, func(q *tenantdb.Queries, d *device.Device) error {
		v.Browser = d.Name()
		return a.signedIn(ctx, q, t, v, who, accounts.ViaPasskey, "")
	})
	return d, who, err
}

// seated is a visitor with the browser that it comes from. Whether its session is good is looked up: a copy of a cookie is
// trusted with nothing.
func (a *Acts) seated(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser) (Visitor, error) {
	look, err := device.See(ctx, a.DB.Tenant(t.Schema).Q(), b.Presented, b.Seen, a.Now())
	if err == nil && look.Device != nil && !look.Forget {
		v.device = look.Device.Key
	}
	return v, err
}

// owner is the account that an answer claims to be of. Errors: [passkey.ErrRefused].
func (a *Acts) owner(ctx context.Context, t *tenant.Tenant, answer *passkey.Answer) (who *accounts.Account, err error) {
	did, aid, err := passkey.HandleOf(answer.Handle())
	if err != nil {
		return nil, err
	}
	q := a.DB.Tenant(t.Schema).Q()
	if did != "" {
		who, err = accounts.ByDID(ctx, q, did)
	} else {
		who, err = accounts.ByAID(ctx, q, aid)
	}
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, fmt.Errorf("%w: no such account", passkey.ErrRefused)
	}
	return who, err
}

// usePasskey uses an answer of an account's key up. One that counted backwards is written down, and its owner told, before
// it is refused. Errors: [passkey.ErrRefused], [passkey.ErrExpired], [passkey.ErrCloned], [passkey.ErrHost].
func (a *Acts) usePasskey(ctx context.Context, t *tenant.Tenant, v Visitor, who *accounts.Account, answer *passkey.Answer, b passkey.Bound) error {
	p, secrets, err := a.party(ctx, t)
	if err != nil {
		return err
	}
	var used passkey.Used
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		used, err = answer.Use(ctx, q, p, secrets.Typed(), a.Now(), b, passkey.Person{AID: who.AID, DID: who.DID})
		if err != nil || !used.Cloned {
			return err
		}
		if err := a.note(ctx, q, v, who.AID, accounts.EventPasskeyCloned, used.Name); err != nil {
			return err
		}
		return a.tellOwner(ctx, q, t, who, mail.Note{Kind: mail.KindPasskeyCloned, Lang: v.Language})
	})
	switch {
	case errors.Is(err, passkey.ErrUnknown):
		return fmt.Errorf("%w: %w", passkey.ErrRefused, err) // deleted meanwhile: the browser still has it
	case err != nil:
		return err
	case used.Cloned:
		a.Outbox.Wake(t)
		return passkey.ErrCloned
	}
	return nil
}

// party is who asks for passkeys at a tenant.
func (a *Acts) party(ctx context.Context, t *tenant.Tenant) (passkey.Party, *auth.Secrets, error) {
	p, err := passkey.PartyOf(t.PublicURL, t.Hostname)
	if err != nil {
		return p, nil, err
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	return p, secrets, err
}

// person is the owner's account as passkeys know it.
func (a *Acts) person(ctx context.Context, t *tenant.Tenant, by Owner) (passkey.Person, error) {
	keys, err := passkey.List(ctx, a.DB.Tenant(t.Schema).Q(), by.AID)
	who := passkey.Person{AID: by.AID, DID: by.DID, Name: by.Handle, Keys: keys}
	if who.Name == "" {
		who.Name = by.DID
	}
	return who, err
}

// Passkeys lists the owner's, oldest first.
func (a *Acts) Passkeys(ctx context.Context, t *tenant.Tenant, by Owner) ([]passkey.Key, error) {
	return passkey.List(ctx, a.DB.Tenant(t.Schema).Q(), by.AID)
}

// AskNewPasskey is what the owner's browser is given to make a passkey: the JSON of PublicKeyCredentialCreationOptions. It
// stores nothing. Errors: [passkey.ErrHost].
func (a *Acts) AskNewPasskey(ctx context.Context, t *tenant.Tenant, by Owner) ([]byte, error) {
	p, secrets, err := a.party(ctx, t)
	if err != nil {
		return nil, err
	}
	who, err := a.person(ctx, t, by)
	if err != nil {
		return nil, err
	}
	return passkey.AskNew(p, secrets.Typed(), a.Now(), passkey.Bound{For: passkey.ToRegister, Browser: by.Browser, AID: by.AID}, who)
}

// AddPasskey stores the passkey that the owner's browser has made. It is a way in of its own, so it takes a proof.
// Errors: those of [Acts.protect], [passkey.ErrRefused], [passkey.ErrExpired], [passkey.ErrTaken], [passkey.ErrTooMany],
// [passkey.ErrName], [passkey.ErrHost].
func (a *Acts) AddPasskey(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof, name string, answer []byte) error {
	p, secrets, err := a.party(ctx, t)
	if err != nil {
		return err
	}
	if name, err = passkey.CheckName(name); err != nil {
		return err
	}
	who, err := a.person(ctx, t, by)
	if err != nil {
		return err
	}
	made, err := passkey.Made(p, secrets.Typed(), a.Now(), passkey.Bound{For: passkey.ToRegister, Browser: by.Browser, AID: by.AID}, who, answer)
	if err != nil {
		return err
	}
	return a.protect(ctx, t, by, &proof, func(p protection) error {
		if err := made.Insert(ctx, p.q, a.Now(), by.AID, name); err != nil {
			return err
		}
		return p.tell(ctx, actAddPasskey, mail.KindPasskeyAdded, name)
	})
}

// RenamePasskey gives one of the owner's passkeys another name. Errors: [passkey.ErrName], [passkey.ErrUnknown].
func (a *Acts) RenamePasskey(ctx context.Context, t *tenant.Tenant, by Owner, id []byte, name string) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return passkey.Rename(ctx, q, by.AID, id, name)
	})
}

// RemovePasskey takes a passkey from the owner's account. The last one stays where there is no password.
// Errors: those of [Acts.protect], [passkey.ErrUnknown], [ErrLastWayIn].
func (a *Acts) RemovePasskey(ctx context.Context, t *tenant.Tenant, by Owner, proof Proof, id []byte) error {
	return a.protect(ctx, t, by, &proof, func(p protection) error {
		who, err := lockOwnAccount(ctx, p.q, by)
		if err != nil {
			return err
		}
		name, err := passkey.Delete(ctx, p.q, by.AID, id)
		if err != nil {
			return err
		}
		if !who.HasPassword() {
			left, err := p.q.CountPasskeys(ctx, by.AID)
			if err != nil {
				return fmt.Errorf("passkeys of actor %d: %w", by.AID, err)
			}
			if left == 0 {
				return ErrLastWayIn
			}
		}
		return p.tell(ctx, actRemovePasskey, mail.KindPasskeyRemoved, name)
	})
}
