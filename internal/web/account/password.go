package account

import (
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/device"
)

// passwordPage is what the page of the password shows.
type passwordPage struct{ Least int }

func passwordData(l *look) (any, error) {
	return &passwordPage{l.Tenant.Settings.PasswordMinLength}, nil
}

// changePassword ends all sessions, and begins this browser's anew.
func changePassword(l *look) error {
	fresh := l.Form.Get("new")
	if fresh != l.Form.Get("again") {
		return errDiffer
	}
	ctx := l.R.Context()
	if err := l.pages.acts.ChangePassword(ctx, l.Tenant, l.owner, fresh); err != nil {
		return err
	}
	who, err := accounts.ByDID(ctx, l.pages.db.Tenant(l.Tenant.Schema).Q(), l.owner.DID)
	if err != nil {
		return err
	}
	d, err := l.pages.acts.EnterDevice(ctx, l.Tenant, l.Browser(), who, device.Stay{Remember: l.signed.Remembered})
	if err != nil {
		return err
	}
	l.Keep(d)
	return l.done("password")
}
