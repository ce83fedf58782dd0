package act

import (
	"context"
	"errors"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// HalfLife is how long somebody who has shown a password on a page has for the second factor.
const HalfLife = 15 * time.Minute

const slipHalf = "sign-in half"

// Entered is what came of a sign-in on a page.
type Entered struct {
	Device  *device.Device
	Account *accounts.Account
	// Half is what the page gives back with the code, where a second factor is asked for. It opens nothing alone.
	Half string
}

// half is what a browser keeps between password and code.
type half struct {
	DID   string `json:"d"`
	Epoch int64  `json:"e"`
}

// EnterByPassword is [Acts.SignInDevice] in two steps, as pages have them: the first is the main password. Where a second
// factor is on it says so by [accounts.ErrFactorApp], or by [accounts.ErrFactorMailed] after a code was mailed; the page
// comes again with Half and the code ([Acts.EnterByCode]). Half is nothing in another browser.
// Errors: those of [Acts.SignInDevice], [accounts.ErrAwaiting].
func (a *Acts) EnterByPassword(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser, identifier, password string, stay device.Stay) (in Entered, err error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return in, err
	}
	if v, err = a.seated(ctx, t, v, b); err != nil {
		return in, err
	}
	s, err := a.show(ctx, t, v, secrets, Credentials{Identifier: identifier, Password: password}, false)
	switch {
	case errors.Is(err, accounts.ErrFactorApp), errors.Is(err, accounts.ErrFactorMailed):
		if s.who.TakenDown && !stay.TakenDown {
			return in, auth.ErrAccountTakedown
		}
		slip, e := a.WriteSlip(ctx, t, slipHalf, b.name(), HalfLife, half{s.who.DID, s.who.Epochs.Session})
		if e != nil {
			return in, e
		}
		in.Half = slip
		return in, err
	case err != nil:
		return in, err
	case s.app != nil:
		return in, ErrAppPassword
	}
	return a.enterShown(ctx, t, v, b, s, false, stay)
}

// EnterByCode is the second step after [Acts.EnterByPassword]. Without a code another one is mailed, where codes are
// mailed. trust is as in [Credentials]. Errors: [ErrSlip] where the password must be shown again, [WaitError],
// [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], [auth.ErrAccountTakedown], [accounts.ErrAwaiting],
// [device.ErrAccounts], and without a code [accounts.ErrFactorApp], [accounts.ErrFactorMailed].
func (a *Acts) EnterByCode(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser, given, code string, trust bool, stay device.Stay) (in Entered, err error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return in, err
	}
	who, err := a.halfShown(ctx, t, b, given)
	if err != nil {
		return in, err
	}
	in.Half = given
	try, err := a.enter(ctx, t, v, who.DID)
	if err != nil {
		return in, err
	}
	right, err := a.secondFactor(ctx, t, v, secrets, who, code, mail.KindSignIn)
	if err = try.leave(ctx, err); err != nil {
		return in, err
	}
	return a.enterShown(ctx, t, v, b, shown{who: who, factor: right}, trust, stay)
}

// AsksCode says which second factors the account of a half has. Errors: [ErrSlip].
func (a *Acts) AsksCode(ctx context.Context, t *tenant.Tenant, b Browser, given string) (accounts.Factors, error) {
	who, err := a.halfShown(ctx, t, b, given)
	if err != nil {
		return accounts.Factors{}, err
	}
	return accounts.SecondFactors(ctx, a.DB.Tenant(t.Schema).Q(), who.AID)
}

// halfShown is the account whose password was shown. It is the same password still.
func (a *Acts) halfShown(ctx context.Context, t *tenant.Tenant, b Browser, given string) (*accounts.Account, error) {
	var h half
	if err := a.ReadSlip(ctx, t, slipHalf, b.name(), given, &h); err != nil {
		return nil, err
	}
	who, err := a.find(ctx, t, h.DID)
	if errors.Is(err, accounts.ErrNotFound) || err == nil && who.Epochs.Session != h.Epoch {
		return nil, ErrSlip // a takedown since then is among this
	}
	return who, err
}

// enterShown signs somebody in on a browser who has shown all that the account wants.
func (a *Acts) enterShown(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser, s shown, trust bool, stay device.Stay) (in Entered, err error) {
	if s.who.TakenDown && !stay.TakenDown {
		return in, auth.ErrAccountTakedown
	}
	if s.who.Deactivated {
		if err := accounts.NotAwaiting(ctx, a.DB.Tenant(t.Schema).Q(), s.who.AID); err != nil {
			return in, err
		}
	}
	in.Account = s.who
	in.Device, err = a.enterDevice(ctx, t, b, s.who, stay, a.cameIn(ctx, t, v, s, trust))
	return in, err
}

// cameIn is what a sign-in by password does more, in its transaction: the browser may be trusted from now on, and the
// account's own log has it.
func (a *Acts) cameIn(ctx context.Context, t *tenant.Tenant, v Visitor, s shown, trust bool) func(*tenantdb.Queries, *device.Device) error {
	return func(q *tenantdb.Queries, d *device.Device) error {
		if trust && s.factor {
			if err := accounts.Trust(ctx, q, a.Now(), s.who.AID, d.Key); err != nil {
				return err
			}
			if err := a.note(ctx, q, v, s.who.AID, accounts.EventTrusted, ""); err != nil {
				return err
			}
		}
		v.Browser = d.Name()
		return a.signedIn(ctx, q, t, v, s.who, accounts.ViaPassword, "")
	}
}

// name tells the browser from others in slips.
func (b Browser) name() string { return device.Name(device.Key(b.ID)) }
