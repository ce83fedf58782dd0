package act

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/tenant"
)

// ErrAppPassword: pages are not for apps, so they take the main password only.
var ErrAppPassword = errors.New("an app password signs in apps only")

// Browser is what a page is looked at with: what it keeps, and what the request tells of it.
type Browser struct {
	device.Presented
	device.Seen
}

// SeeDevice finds the device that a browser is, and who is signed in there. The session id changes when it is due; a
// browser with one that is not the device's any more has a copy, and the device is forgotten.
func (a *Acts) SeeDevice(ctx context.Context, t *tenant.Tenant, b Browser) (device.Look, error) {
	tdb := a.DB.Tenant(t.Schema)
	look, err := device.See(ctx, tdb.Q(), b.Presented, b.Seen, a.Now())
	switch {
	case err != nil:
		return device.Look{}, err
	case look.Forget:
		return device.Look{}, tdb.Tx(ctx, func(q *tenantdb.Queries) error { return device.Forget(ctx, q, look.Device.Key) })
	case look.Rotate:
		err = tdb.Tx(ctx, func(q *tenantdb.Queries) error {
			_, err := device.Rotate(ctx, q, look.Device, b.Presented, b.Seen, a.Now())
			return err
		})
	}
	return look, err
}

// SignInDevice signs somebody in on a browser, by the main password and the second factor that the account wants, as
// [Acts.SignIn] does for apps. Errors: those of [Acts.SignIn], [ErrAppPassword], [device.ErrAccounts].
func (a *Acts) SignInDevice(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser, c Credentials, stay device.Stay) (*device.Device, *accounts.Account, error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	if v, err = a.seated(ctx, t, v, b); err != nil {
		return nil, nil, err
	}
	s, err := a.show(ctx, t, v, secrets, c, false)
	switch {
	case err != nil:
		return nil, nil, err
	case s.app != nil:
		return nil, nil, ErrAppPassword
	case s.who.TakenDown && !c.Takendown:
		return nil, nil, auth.ErrAccountTakedown
	}
	d, err := a.enterDevice(ctx, t, b, s.who, stay, a.cameIn(ctx, t, v, s, c.Trust))
	return d, s.who, err
}

// EnterDevice signs an account in on a browser, after it was established whose it is: by a sign-up, a passkey, or what
// [Acts.SignInDevice] asks for. Errors: [accounts.ErrCredentials] when sessions of the account were ended since who was
// read, [device.ErrAccounts].
func (a *Acts) EnterDevice(ctx context.Context, t *tenant.Tenant, b Browser, who *accounts.Account, stay device.Stay) (d *device.Device, err error) {
	return a.enterDevice(ctx, t, b, who, stay, func(*tenantdb.Queries, *device.Device) error { return nil })
}

// enterDevice is EnterDevice with more to do in its transaction.
func (a *Acts) enterDevice(ctx context.Context, t *tenant.Tenant, b Browser, who *accounts.Account, stay device.Stay, more func(*tenantdb.Queries, *device.Device) error) (d *device.Device, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		epochs, err := auth.Hold(ctx, q, who.DID)
		if errors.Is(err, auth.ErrRevoked) || err == nil && epochs.Session != who.Epochs.Session {
			return accounts.ErrCredentials
		}
		if err != nil {
			return err
		}
		d, err = device.Enter(ctx, q, t, b.Presented, b.Seen, who.AID, epochs.Session, stay, a.Now())
		if err != nil {
			return err
		}
		return more(q, d)
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return d, err
}

// ProveDevice writes down that the owner of an account that is signed in on a browser proved to be it again, after that
// was established. Errors: [device.ErrUnknown].
func (a *Acts) ProveDevice(ctx context.Context, t *tenant.Tenant, b Browser, s device.SignedIn) (d *device.Device, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		epochs, err := auth.Hold(ctx, q, s.DID)
		if errors.Is(err, auth.ErrRevoked) {
			return device.ErrUnknown
		}
		if err != nil {
			return err
		}
		if d, err = device.Renew(ctx, q, b.Presented, b.Seen, a.Now()); err != nil {
			return err
		}
		return device.Prove(ctx, q, d.Key, s.AID, epochs.Session, s.Request, a.Now())
	})
	return d, err
}

// RenewDevice changes the session id of a browser at a step that matters, a refusal for example. A browser that is no
// device is none afterwards, and gives nil.
func (a *Acts) RenewDevice(ctx context.Context, t *tenant.Tenant, b Browser) (d *device.Device, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		d, err = device.Renew(ctx, q, b.Presented, b.Seen, a.Now())
		return err
	})
	if errors.Is(err, device.ErrUnknown) {
		return nil, nil
	}
	return d, err
}

// SignOutDevice signs an account out on the browser that it is signed in with. Doing it twice is no error.
func (a *Acts) SignOutDevice(ctx context.Context, t *tenant.Tenant, b Browser, by Owner) (d *device.Device, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if d, err = device.Renew(ctx, q, b.Presented, b.Seen, a.Now()); err != nil {
			return err
		}
		return device.Leave(ctx, q, d.Key, by.AID)
	})
	if errors.Is(err, device.ErrUnknown) {
		return nil, nil
	}
	return d, err
}

// EndDevice signs an account out on one of its devices, by the name that the list of them has. Errors:
// [device.ErrUnknown].
func (a *Acts) EndDevice(ctx context.Context, t *tenant.Tenant, by Owner, name string) error {
	key, err := base64.RawURLEncoding.DecodeString(name)
	if err != nil {
		return device.ErrUnknown
	}
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		n, err := q.DeleteDeviceAccount(ctx, tenantdb.DeleteDeviceAccountParams{AID: by.AID, Device: key})
		if err == nil && n == 0 {
			err = device.ErrUnknown
		}
		return err
	})
}

// EndDevices signs an account out on all its devices but the one that is asked from; nil: on that one too.
func (a *Acts) EndDevices(ctx context.Context, t *tenant.Tenant, by Owner, but *device.Device) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		var err error
		if but == nil {
			err = q.DeleteDeviceAccountsOf(ctx, by.AID)
		} else {
			_, err = q.DeleteDeviceAccountsElsewhere(ctx, tenantdb.DeleteDeviceAccountsElsewhereParams{AID: by.AID, Device: but.Key})
		}
		if err != nil {
			return fmt.Errorf("end devices of %s: %w", by.DID, err)
		}
		return nil
	})
}
