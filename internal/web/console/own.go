package console

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/web"
)

// registerOwn are the pages of whoever is signed in: the second factors, and the browsers.
func (s *Server) registerOwn() {
	s.get(pathSetup, newcomer, func(v *Visit) error { return v.own(http.StatusOK) })
	s.get(pathOwn, member, func(v *Visit) error { return v.own(http.StatusOK) })
	s.post(pathOwn+"/passkey", newcomer, (*Visit).addPasskey)
	s.post(pathOwn+"/app", newcomer, (*Visit).addApp)
	s.post(pathOwn+"/remove", member, (*Visit).removeFactor)
	s.post(pathOwn+"/end", member, (*Visit).endSession)
}

// ownPage is what an operator sees of itself.
type ownPage struct {
	Setup    bool
	Factors  []ownFactor
	Sessions []ownSession
	Options  string // what the browser is asked to make a passkey; "": there are none here

	// Of an app that is being set up. They are shown this one time, and come back with the form.
	Secret string
	URI    string
	QR     template.HTML
}

type ownFactor struct {
	operator.Factor
	Ref  string
	Only bool
}

type ownSession struct {
	operator.Session
	Here bool
}

// own shows the page. In a session that began by a link there is nothing else.
func (v *Visit) own(status int) error {
	p := &ownPage{Setup: v.Session.Setup()}
	factors, err := v.s.Acts.DashboardFactors(v.ctx(), *v.User)
	if err != nil {
		return err
	}
	for _, f := range factors {
		p.Factors = append(p.Factors, ownFactor{f, hex.EncodeToString(f.ID), len(factors) == 1})
	}
	sessions, err := v.s.Acts.OperatorSessions(v.ctx(), v.User.Ref)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		p.Sessions = append(p.Sessions, ownSession{s, s.ID() == v.Session.ID()})
	}
	if v.hasPasskeys() {
		b, err := v.s.Acts.DashboardAskNew(v.ctx(), v.seat(), *v.User)
		if err != nil {
			return err
		}
		p.Options = string(b)
	}
	if err := p.offerApp(v); err != nil {
		return err
	}
	if p.Setup {
		return v.Show(status, "setup", p)
	}
	return v.Show(status, "own", p)
}

// offerApp draws the secret of an app. It is kept nowhere until a code of it comes back.
func (p *ownPage) offerApp(v *Visit) error {
	app := account.NewAuthenticator("Aurora Locus", v.User.Label)
	p.Secret, p.URI = app.Secret, app.URI
	if kept := v.Typed("secret"); kept != "" {
		key, err := decodeSecret(kept)
		if err != nil {
			return errNoForm
		}
		app = account.AuthenticatorOf("Aurora Locus", v.User.Label, key)
		p.Secret, p.URI = app.Secret, app.URI
	}
	var err error
	p.QR, err = web.QRCode(p.URI, "QR code for the app")
	return err
}

// Parted is the secret in groups of four, for typing.
func (p *ownPage) Parted() string { return web.Parted(p.Secret) }

// secretBytes is how long the secret of an app is.
const secretBytes = 20

func decodeSecret(text string) ([]byte, error) {
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err == nil && len(b) != secretBytes {
		err = errors.New("another length")
	}
	return b, err
}

func (v *Visit) addPasskey() error {
	e, err := v.s.Acts.DashboardAddPasskey(v.ctx(), v.seat(), *v.User, v.Session, v.Form.Text("name"), []byte(v.Form.Get("answer")))
	return v.added(e, err)
}

func (v *Visit) addApp() error {
	secret, err := decodeSecret(v.Form.Get("secret"))
	if err != nil {
		return errNoForm
	}
	if !v.s.codes.mayTry(string(v.User.Ref)) {
		return errTooMany
	}
	e, err := v.s.Acts.DashboardAddApp(v.ctx(), v.seat(), *v.User, v.Session, v.Form.Text("name"), secret, v.Form.Get("code"))
	if errors.Is(err, operator.ErrCode) {
		v.s.codes.failed(string(v.User.Ref))
	}
	return v.added(e, err)
}

func (v *Visit) added(e act.DashboardEntry, err error) error {
	if err != nil {
		return v.refusedForm(err, v.own)
	}
	if e.Secret == "" {
		return v.Done(pathOwn, "Another second factor is set up.")
	}
	v.signIn(e)
	return v.Done(home(v.User), "The second factor is set up, and you are signed in.")
}

func (v *Visit) removeFactor() error {
	id, err := hex.DecodeString(v.Form.Get("factor"))
	if err != nil {
		return errNoForm
	}
	if err := v.s.Acts.DashboardRemoveFactor(v.ctx(), v.By(), *v.User, id); err != nil {
		return v.refusedForm(err, v.own)
	}
	return v.Done(pathOwn, "The second factor is removed.")
}

func (v *Visit) endSession() error {
	id := v.Form.Get("session") // "": all but this one
	if _, err := v.s.Acts.DashboardEnd(v.ctx(), v.By(), v.User.Ref, id, &v.Session); err != nil {
		return v.refusedForm(err, v.own)
	}
	if id == v.Session.ID() {
		return v.redirect(Root + "/sign-in")
	}
	return v.Done(pathOwn, "Signed out there.")
}
