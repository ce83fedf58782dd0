package act_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/tenant"
)

// enter signs the person in at its browser, which keeps what it is told to.
func (p *person) enter(stay device.Stay) {
	p.t.Helper()
	d, _, err := p.SignInDevice(p.t.Context(), p.at, p.visitor(), p.browser, act.Credentials{Identifier: p.account.Handle, Password: password}, stay)
	if err != nil {
		p.t.Fatalf("sign in: %v", err)
	}
	p.keep(d)
}

func (p *person) keep(d *device.Device) {
	if d != nil && d.Keep != nil {
		p.browser.Presented = *d.Keep
	}
}

// look is one visit of a page.
func (h *house) look(at *tenant.Tenant, b act.Browser) device.Look {
	h.t.Helper()
	l, err := h.SeeDevice(h.t.Context(), at, b)
	return must(h.t, l, err)
}

// there says who is signed in, and keeps what the browser is told to.
func (p *person) there() string {
	p.t.Helper()
	l := p.look(p.at, p.browser)
	p.keep(l.Device)
	out := ""
	for _, a := range l.Accounts {
		out += fmt.Sprintf("%s(%s) ", a.Handle, a.Request)
	}
	return out
}

func (h *house) after(d time.Duration) { h.seconds.Add(int64(d / time.Second)) }

// A browser is known by its id and its session id. The session id changes every five minutes and at each sign-in; the one
// before is good for a moment, and after that it is a copy's, and nobody is signed in there any more.
func TestDeviceRotates(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	first := alice.browser
	alice.enter(device.Stay{Remember: true})
	if alice.browser.ID != first.ID || alice.browser.Session == first.Session {
		t.Errorf("kept %+v, had %+v", alice.browser.Presented, first.Presented)
	}
	before := alice.browser
	if got := alice.there(); got != "alice.test() " || alice.browser != before {
		t.Errorf("%q, and the session changed: %v", got, alice.browser != before)
	}
	h.after(device.RotateAfter)
	if got := alice.there(); got != "alice.test() " || alice.browser.Session == before.Session {
		t.Errorf("%q, and the session did not change", got)
	}
	// Requests that were on their way.
	h.after(device.FormerGrace)
	if l := h.look(h.tenant, before); len(l.Accounts) != 1 || l.Device.Keep != nil {
		t.Errorf("within the grace: %+v", l)
	}
	h.after(time.Second)
	if l := h.look(h.tenant, before); len(l.Accounts) != 0 || l.Device != nil {
		t.Errorf("after the grace: %+v", l)
	}
	if got := alice.there(); got != "" {
		t.Errorf("the browser is still known: %q", got)
	}
	// The same browser, at another address or of another version, is given another session id.
	alice.enter(device.Stay{Remember: true})
	before = alice.browser
	alice.browser.Address = "2001:db8::1"
	if got := alice.there(); got != "alice.test() " || alice.browser.Session == before.Session {
		t.Errorf("%q at another address", got)
	}
	before = alice.browser
	alice.browser.Agent += " and more"
	if got := alice.there(); got != "alice.test() " || alice.browser.Session == before.Session {
		t.Errorf("%q with another program", got)
	}
	// Whoever knows the id only gets nothing.
	guess := alice.browser
	guess.Session = device.NewSecret()
	if l := h.look(h.tenant, guess); l.Device != nil {
		t.Errorf("a guess: %+v", l)
	}
}

// Of many requests that come when the session id is due to change, one changes it, and all are answered.
func TestDeviceRotatesOnce(t *testing.T) {
	h := newHouse(t)
	alice := h.person(h.tenant, "alice.test")
	alice.enter(device.Stay{Remember: true})
	h.after(device.RotateAfter)
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept := map[device.Presented]bool{}
	for range 16 {
		wg.Go(func() {
			l, err := h.SeeDevice(t.Context(), h.tenant, alice.browser)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || len(l.Accounts) != 1 {
				t.Errorf("%+v %v", l, err)
				return
			}
			if l.Device.Keep != nil {
				kept[*l.Device.Keep] = true
			}
		})
	}
	wg.Wait()
	if len(kept) != 1 {
		t.Errorf("%d session ids", len(kept))
	}
	for p := range kept {
		alice.browser.Presented = p
	}
	if got := alice.there(); got != "alice.test() " {
		t.Error(got)
	}
}

// Who only looks leaves no row, whatever the cookies say.
func TestDeviceOfStrangers(t *testing.T) {
	h := newHouse(t)
	for _, b := range []act.Browser{{}, newBrowser(), {Presented: device.Presented{ID: "x", Session: "y"}}, {Presented: device.Presented{ID: device.NewSecret()}}} {
		if l := h.look(h.tenant, b); l.Device != nil || l.Accounts != nil {
			t.Errorf("%+v", l)
		}
		d, err := h.RenewDevice(t.Context(), h.tenant, b)
		if d != nil || err != nil {
			t.Errorf("%+v %v", d, err)
		}
	}
	n, err := h.DB.Tenant(h.tenant.Schema).Q().DeleteExpiredDevices(t.Context(), tenantdb.DeleteExpiredDevicesParams{Now: h.now().Add(2 * device.Life), MaxRows: 10})
	if n != 0 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

// Who is remembered is so for as many days as the tenant says. Other sign-ins are for one request and a quarter of an
// hour; those of the account's own pages last while they are used.
func TestDeviceStays(t *testing.T) {
	h := newHouse(t)
	alice, bob, carol := h.person(h.tenant, "alice.test"), h.person(h.tenant, "bob.test"), h.person(h.tenant, "carol.test")
	alice.enter(device.Stay{Remember: true, Request: "req-1"})
	bob.browser = alice.browser
	bob.enter(device.Stay{Request: "req-1"})
	carol.browser = bob.browser
	carol.enter(device.Stay{})
	if got := carol.there(); got != "carol.test() bob.test(req-1) alice.test() " && len(got) != len("carol.test() bob.test(req-1) alice.test() ") {
		t.Errorf("%q", got)
	}
	h.after(10 * time.Minute)
	carol.there() // it rotates: carol's is prolonged
	h.after(6 * time.Minute)
	if got := carol.there(); got != "carol.test() alice.test() " && got != "alice.test() carol.test() " {
		t.Errorf("after 16 minutes: %q", got)
	}
	h.after(device.Unremembered)
	if got := carol.there(); got != "alice.test() " {
		t.Errorf("after another quarter of an hour: %q", got)
	}
	h.after(7*24*time.Hour - 40*time.Minute)
	if got := carol.there(); got != "alice.test() " {
		t.Errorf("after a week, nearly: %q", got)
	}
	h.after(time.Hour)
	if got := carol.there(); got != "" {
		t.Errorf("after a week: %q", got)
	}
}

// What ends an account's sessions signs it out of browsers, and leaves the others there signed in.
func TestDeviceEndsWithSessions(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	for name, end := range map[string]func(*person) error{
		"password": func(p *person) error {
			return p.SetPassword(ctx, h.tenant, act.Operator{}, p.account.DID, "another-good-password")
		},
		"takedown": func(p *person) error {
			return p.SetAccountStatus(ctx, h.tenant, act.Operator{}, p.account.DID, &act.Mark{Applied: true}, nil)
		},
		"sign out": func(p *person) error {
			d, err := p.SignOutDevice(ctx, h.tenant, p.browser, p.owner(false))
			p.keep(d)
			return err
		},
		"sign out everywhere": func(p *person) error { return p.EndDevices(ctx, h.tenant, p.owner(false), nil) },
		"sign out one": func(p *person) error {
			list, err := device.ListOf(ctx, h.DB.Tenant(h.tenant.Schema).Q(), p.account.AID, h.now())
			if err != nil || len(list) != 1 {
				return fmt.Errorf("%v %w", list, err)
			}
			return p.EndDevice(ctx, h.tenant, p.owner(false), list[0].Name())
		},
	} {
		label := strings.ReplaceAll(name, " ", "")
		alice, bob := h.person(h.tenant, "a"+label+".test"), h.person(h.tenant, "b"+label+".test")
		alice.enter(device.Stay{Remember: true})
		bob.browser = alice.browser
		bob.enter(device.Stay{Remember: true})
		alice.browser = bob.browser
		if err := end(alice); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := alice.there(), bob.account.Handle+"() "; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		list, err := device.ListOf(ctx, h.DB.Tenant(h.tenant.Schema).Q(), alice.account.AID, h.now())
		if err != nil || len(list) != 0 {
			t.Errorf("%s: %+v %v", name, list, err)
		}
	}
}

// An account's owner sees its devices and ends the others; those of others are none of the owner's.
func TestDevicesOfAnAccount(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	alice, bob := h.person(h.tenant, "alice.test"), h.person(h.tenant, "bob.test")
	alice.enter(device.Stay{Remember: true})
	home := alice.browser
	h.after(time.Minute)
	alice.browser = newBrowser()
	alice.enter(device.Stay{Request: "req-1"})
	bob.enter(device.Stay{Remember: true})
	q := h.DB.Tenant(h.tenant.Schema).Q()
	list, err := device.ListOf(ctx, q, alice.account.AID, h.now())
	if err != nil || len(list) != 2 || list[0].Remembered || !list[1].Remembered || list[0].Address != "192.0.2.1" || !list[0].SeenAt.After(list[1].SeenAt) {
		t.Fatalf("%+v %v", list, err)
	}
	h.is("another's device", bob.EndDevice(ctx, h.tenant, bob.owner(false), list[0].Name()), device.ErrUnknown)
	h.is("no device", bob.EndDevice(ctx, h.tenant, bob.owner(false), "!"), device.ErrUnknown)
	here := h.look(h.tenant, alice.browser)
	h.is("elsewhere", alice.EndDevices(ctx, h.tenant, alice.owner(false), here.Device), nil)
	if got := alice.there(); got != "alice.test(req-1) " {
		t.Errorf("here: %q", got)
	}
	if l := h.look(h.tenant, home); len(l.Accounts) != 0 {
		t.Errorf("at home: %+v", l.Accounts)
	}
	if got := bob.there(); got != "bob.test() " {
		t.Errorf("another: %q", got)
	}
}

// A device has room for so many accounts, and an account for so many devices.
func TestDevicesAreLimited(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	b := newBrowser()
	var last *person
	for i := range device.MaxAccounts + 1 {
		p := h.person(h.tenant, fmt.Sprintf("p%02d.test", i))
		d, err := h.EnterDevice(ctx, h.tenant, b, p.account, device.Stay{Remember: true})
		if i == device.MaxAccounts {
			h.is("one account too many", err, device.ErrAccounts)
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Presented, last = *d.Keep, p
	}
	// Who is there may come again.
	_, err := h.EnterDevice(ctx, h.tenant, b, last.account, device.Stay{Remember: true})
	h.is("again", err, nil)
	for range device.MaxDevices + 3 {
		h.after(time.Second)
		if _, err := h.EnterDevice(ctx, h.tenant, newBrowser(), last.account, device.Stay{Remember: true}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := device.ListOf(ctx, h.DB.Tenant(h.tenant.Schema).Q(), last.account.AID, h.now())
	if err != nil || len(list) != device.MaxDevices {
		t.Errorf("%d devices, %v", len(list), err)
	}
	for _, l := range list {
		if l.Name() == device.Name(device.Key(b.ID)) {
			t.Error("the oldest device did not make room")
		}
	}
}

// App passwords are for apps, and a browser of one tenant is nothing at another.
func TestDeviceRefuses(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	alice := h.person(h.tenant, "alice.test")
	_, app, err := alice.CreateAppPassword(ctx, h.tenant, alice.owner(true), act.NewAppPassword{Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(password string) error {
		_, _, err := alice.SignInDevice(ctx, h.tenant, alice.visitor(), alice.browser, act.Credentials{Identifier: "alice.test", Password: password}, device.Stay{})
		return err
	}
	h.is("an app password", sign(app), act.ErrAppPassword)
	h.is("a wrong one", sign("wrong-password"), account.ErrCredentials)
	stale := *alice.account
	h.is("password", h.SetPassword(ctx, h.tenant, act.Operator{}, alice.account.DID, "another-good-password"), nil)
	_, err = h.EnterDevice(ctx, h.tenant, alice.browser, &stale, device.Stay{})
	h.is("sessions were ended meanwhile", err, account.ErrCredentials)
	h.is("takedown", h.SetAccountStatus(ctx, h.tenant, act.Operator{}, alice.account.DID, &act.Mark{Applied: true}, nil), nil)
	h.is("taken down", sign("another-good-password"), auth.ErrAccountTakedown)

	other, err := h.CreateTenant(ctx, act.Operator{}, tenant.Spec{Hostname: "other.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	bob := h.person(h.tenant, "bob.test")
	bob.enter(device.Stay{Remember: true})
	if l := h.look(other, bob.browser); l.Device != nil || len(l.Accounts) != 0 {
		t.Errorf("known at the other tenant: %+v", l)
	}
	if got := bob.there(); got != "bob.test() " {
		t.Error(got)
	}
}
