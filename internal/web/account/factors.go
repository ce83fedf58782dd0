package account

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/web"
)

// factorsPage is what the page of second factors shows.
type factorsPage struct {
	Left    int // backup codes that were not used
	Trusted []trustedBrowser

	// Of an app that is being set up. They are shown this one time, and come back with the form.
	URI, Secret string
	QR          template.HTML
	// Codes that were just drawn: shown this one time.
	Codes []string
}

// trustedBrowser is one with its name in forms.
type trustedBrowser struct {
	accounts.Trusted
	Name string
	Here bool
}

func factorsData(l *look) (any, error) {
	ctx, q := l.R.Context(), l.pages.db.Tenant(l.Tenant.Schema).Q()
	p := new(factorsPage)
	left, err := q.CountBackupCodes(ctx, l.owner.AID)
	if err != nil {
		return nil, err
	}
	p.Left = int(left)
	trusted, err := l.pages.acts.TrustedBrowsers(ctx, l.Tenant, l.owner)
	if err != nil {
		return nil, err
	}
	for _, b := range trusted {
		name := device.Name(b.Device)
		p.Trusted = append(p.Trusted, trustedBrowser{b, name, l.Device != nil && name == l.Device.Name()})
	}
	// A code that did not fit: the app is still being set up.
	if uri := l.Typed("uri"); l.Typed("do") == "confirm" && uri != "" {
		return p, l.setUp(p, uri)
	}
	return p, nil
}

// setUp shows the secret of an app that is being set up.
func (l *look) setUp(p *factorsPage, uri string) error {
	u, err := url.Parse(uri)
	if err != nil || !strings.HasPrefix(uri, "otpauth://totp/") || len(uri) > 500 {
		return nil // not what we sent: the page as it is
	}
	p.URI, p.Secret = uri, u.Query().Get("secret")
	p.QR, err = web.QRCode(uri, l.Say("security.app.qr"))
	return err
}

// Parted is a secret in groups of four, for typing.
func (p *factorsPage) Parted() string { return web.Parted(p.Secret) }

func beginApp(l *look) error {
	made, err := l.pages.acts.BeginAuthenticator(l.R.Context(), l.Tenant, l.owner, l.proof())
	if err != nil {
		return err
	}
	return l.factors(func(p *factorsPage) error { return l.setUp(p, made.URI) })
}

func confirmApp(l *look) error {
	codes, err := l.pages.acts.ConfirmOwnAuthenticator(l.R.Context(), l.Tenant, l.owner, l.Form.Text("code"))
	if err != nil {
		return err
	}
	return l.factors(func(p *factorsPage) error { p.Codes = codes; return nil })
}

func drawCodes(l *look) error {
	codes, err := l.pages.acts.DrawBackupCodes(l.R.Context(), l.Tenant, l.owner, l.proof())
	if err != nil {
		return err
	}
	return l.factors(func(p *factorsPage) error { p.Codes = codes; return nil })
}

// factors shows the page with something that is shown once.
func (l *look) factors(more func(*factorsPage) error) error {
	l.Form.Values = nil
	var err error
	if l.Factors, err = accounts.SecondFactors(l.R.Context(), l.pages.db.Tenant(l.Tenant.Schema).Q(), l.owner.AID); err != nil {
		return err
	}
	data, err := factorsData(l)
	if err != nil {
		return err
	}
	if err := more(data.(*factorsPage)); err != nil {
		return err
	}
	return l.showWith(http.StatusOK, data)
}

func appOff(l *look) error {
	if err := l.pages.acts.DisableAuthenticator(l.R.Context(), l.Tenant, l.owner, l.proof()); err != nil {
		return err
	}
	return l.done("app.off")
}

func mailedOn(l *look) error  { return l.mailed(true, "mailed.on") }
func mailedOff(l *look) error { return l.mailed(false, "mailed.off") }

func (l *look) mailed(on bool, done string) error {
	if err := l.pages.acts.SetEmailFactor(l.R.Context(), l.Tenant, l.owner, l.proof(), on); err != nil {
		return err
	}
	return l.done(done)
}

func distrust(l *look) error {
	if err := l.pages.acts.Distrust(l.R.Context(), l.Tenant, l.owner, l.Form.Get("device")); err != nil {
		return err
	}
	return l.done("distrusted")
}

// proof is nothing: these forms come here once the owner has shown who it is.
func (l *look) proof() act.Proof { return act.Proof{} }
