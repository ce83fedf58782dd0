package account

import (
	"github.com/auroralocus/locus/internal/device"
)

// devicesPage is what the page of devices shows.
type devicesPage struct {
	All []shownDevice
}

// shownDevice is a browser that the account is signed in on.
type shownDevice struct {
	device.Listed
	Here bool
}

func devicesData(l *look) (any, error) {
	all, err := device.ListOf(l.R.Context(), l.pages.db.Tenant(l.Tenant.Schema).Q(), l.owner.AID, l.Now())
	if err != nil {
		return nil, err
	}
	p := new(devicesPage)
	for _, d := range all {
		p.All = append(p.All, shownDevice{d, l.Device != nil && d.Name() == l.Device.Name()})
	}
	return p, nil
}

func endDevice(l *look) error {
	if err := l.pages.acts.EndDevice(l.R.Context(), l.Tenant, l.owner, l.Form.Get("device")); err != nil {
		return err
	}
	return l.done("device.ended")
}

func endOthers(l *look) error {
	if err := l.pages.acts.EndDevices(l.R.Context(), l.Tenant, l.owner, l.Device); err != nil {
		return err
	}
	return l.done("devices.ended")
}

// signOutEverywhere ends everything, and begins this browser's sign-in anew.
func signOutEverywhere(l *look) error {
	if err := l.pages.acts.SignOutEverywhere(l.R.Context(), l.Tenant, l.owner); err != nil {
		return err
	}
	if err := l.enterAnew(); err != nil {
		return err
	}
	return l.done("everywhere")
}
