package act

import (
	"context"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/tenant"
)

// SignUpDevice is [Acts.SignUp] on a page: in place of a session of an app, the account is signed in in the browser. Where
// sign-ups are approved nobody is signed in yet, and there is no device. Errors: those of [Acts.SignUp], and
// [device.ErrAccounts].
func (a *Acts) SignUpDevice(ctx context.Context, t *tenant.Tenant, v Visitor, b Browser, req accounts.Request, stay device.Stay) (made Arrival, d *device.Device, err error) {
	s, rotation, err := a.mint(ctx, t, v.From, req)
	if err != nil {
		return made, nil, err
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signupTime)
	defer cancel()
	made = Arrival{DID: s.DID, Handle: s.Handle, Queued: t.Settings.Signup == tenant.SignupApproval}
	if made.Queued {
		err = a.enqueue(ctx, t, s, v.Language, func(*tenantdb.Queries) error { return nil })
	} else {
		err = a.open(ctx, t, s, rotation, func(q *tenantdb.Queries) (err error) {
			d, err = device.Enter(ctx, q, t, b.Presented, b.Seen, s.AID, s.Epochs().Session, stay, a.Now())
			if err != nil {
				return err
			}
			v.Browser = d.Name()
			who := &accounts.Account{AID: s.AID, DID: s.DID, Handle: s.Handle, Email: s.Email}
			return a.came(ctx, q, t, v, who, accounts.EventSignUp, accounts.ViaPassword, "")
		})
	}
	a.Actors.Forget(t.Schema, s.DID)
	return made, d, err
}
