package console

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
)

// Visit is one request, and who makes it.
type Visit struct {
	W http.ResponseWriter
	R *http.Request

	User    *act.DashboardUser // nil: nobody is signed in
	Session operator.Session
	Tenant  *tenant.Tenant // that the path names
	Form    web.Form       // what was sent

	s         *Server
	page      *page
	origin    string
	addr      netip.Addr
	requestID string
	csrf      string
	notes     []note
	wrong     *problem // of a form that is shown again
}

// Limits of a request.
const (
	maxForm  = 128 << 10
	formTime = 20 * time.Second
)

var requestCount atomic.Int64

// serve answers for a page: who it is, whether they may, the form, and then the page itself. An error becomes a page.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, p *page) {
	v := &Visit{W: w, R: r, s: s, page: p, origin: s.origin(r), addr: s.Proxies.Client(r)}
	v.requestID = fmt.Sprintf("db-%x-%d", s.Now().UnixMilli(), requestCount.Add(1))
	settle(w.Header(), v.secure())
	w.Header().Set("X-Request-Id", v.requestID)
	defer v.recover()
	if err := v.answer(); err != nil {
		v.problem(err)
	}
}

func (v *Visit) recover() {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler {
		panic(what)
	}
	v.s.Log.Error("dashboard request failed", "id", v.requestID, "method", v.R.Method, "path", v.R.URL.Path, "err", fmt.Sprintf("panic: %v\n%s", what, debug.Stack()))
	http.Error(v.W, "Something went wrong here.", http.StatusInternalServerError)
}

func (v *Visit) answer() error {
	err := v.enter()
	if err != nil {
		return err
	}
	if v.R.Method == http.MethodPost {
		if v.Form, err = v.form(); err != nil {
			return err
		}
	} else if !web.Navigated(v.R) {
		return errFramed
	}
	if v.User == nil { // whoever sends slowly has held nothing until here
		select {
		case v.s.errand <- struct{}{}:
			defer func() { <-v.s.errand }()
		default:
			return errBusy
		}
	}
	return v.page.h(v)
}

// enter establishes who calls, whether they may, and which tenant it is about. Nothing of a body is read before.
func (v *Visit) enter() error {
	secret := v.cookies().Get(cookieSession)
	if secret != "" && len(secret) <= maxSecret {
		if !v.s.rates.MayTry(v.addr) {
			return errTooMany
		}
		session, u, err := v.s.Acts.DashboardSee(v.ctx(), secret)
		switch {
		case err == nil:
			v.Session, v.User = session, &u
		case errors.Is(err, operator.ErrNotIn):
			v.cookies().Clear(cookieSession)
			v.s.rates.Failed(v.addr)
		default:
			return err
		}
	}
	if v.User != nil && v.s.rates.Take("dashboard "+string(v.User.Ref)) > 0 {
		return errTooMany
	}
	return v.mayCome()
}

// maxSecret bounds what is looked up as a session.
const maxSecret = 100

func (v *Visit) mayCome() error {
	c := v.page.class
	switch {
	case c.open:
		return nil
	case v.User == nil:
		return errNotIn
	case v.Session.Setup() && !c.setup:
		return errSetup
	case !c.allows(v.User):
		return v.forbidden()
	case !c.ofTenant:
		return nil
	}
	t, err := v.s.Tenants.Get(v.R.Context(), v.R.PathValue("tenant"))
	if v.User.Tenant != nil && (err != nil || t.ID != v.User.Tenant.ID) {
		return v.forbidden() // whether or not there is such a tenant
	}
	if errors.Is(err, tenant.ErrNotFound) || errors.Is(err, tenant.ErrBadHostname) {
		return notFound
	}
	v.Tenant = t
	return err
}

// forbidden refuses an operator, and writes down what it wanted to change.
func (v *Visit) forbidden() error {
	if v.R.Method == http.MethodPost && v.User.Deployment != 0 {
		id := int64(0)
		if v.User.Tenant != nil {
			id = v.User.Tenant.ID
		}
		if err := v.s.Acts.Refused(v.R.Context(), v.By(), v.page.action, id, v.R.PathValue("tenant"), "forbidden"); err != nil {
			return err
		}
	}
	return errForbidden
}

// By is who acts.
func (v *Visit) By() act.Operator { return v.User.By(v.addr.String(), v.requestID) }

// May says whether who looks may use a page of a class: what it may not is not offered.
func (v *Visit) May(c class) bool {
	return v.User != nil && !v.Session.Setup() && c.allows(v.User)
}

// seat is where the operator sits, for the acts of signing in.
func (v *Visit) seat() act.Seat {
	v.token()
	party, err := passkey.PartyOf(v.origin, "Aurora Locus")
	if err != nil {
		party = passkey.Party{} // no passkeys at an address: the acts say so
	}
	return act.Seat{
		Browser: operator.Browser{Address: v.addr.String(), Agent: v.R.UserAgent()}, RequestID: v.requestID,
		Mark: v.csrf, Party: party,
	}
}

// hasPasskeys says whether browsers make passkeys for where we are: not at an address, and not by http but as localhost.
func (v *Visit) hasPasskeys() bool {
	u, err := url.Parse(v.origin)
	if err != nil {
		return false
	}
	_, err = passkey.PartyOf(v.origin, "")
	return err == nil && (u.Scheme == "https" || u.Hostname() == "localhost")
}

func (v *Visit) ctx() context.Context { return v.R.Context() }

func (v *Visit) secure() bool { return strings.HasPrefix(v.origin, "https://") }

// form takes a form, if it was sent from a page of ours.
func (v *Visit) form() (web.Form, error) {
	if !web.SameOrigin(v.R, v.origin) {
		return web.Form{}, errForeign
	}
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return web.Form{}, errNoForm
	}
	control := http.NewResponseController(v.W)
	_ = control.SetReadDeadline(time.Now().Add(formTime)) // a test's recorder has none
	b, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, maxForm))
	_ = control.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return web.Form{}, errLarge
	}
	if err != nil {
		return web.Form{}, errNoForm
	}
	values, err := url.ParseQuery(string(b))
	if err != nil {
		return web.Form{}, errNoForm
	}
	if !web.TokenFits(v.cookies().Get(cookieForm), values.Get(web.FieldForm)) {
		return web.Form{}, errStale
	}
	return web.Form{Values: values}, nil
}

// token is what this browser's forms carry.
func (v *Visit) token() string {
	if v.csrf == "" {
		if have := v.cookies().Get(cookieForm); web.IsToken(have) {
			v.csrf = have
		} else {
			v.csrf = web.NewToken()
			v.cookies().Set(cookieForm, v.csrf, 0)
		}
	}
	return web.MaskToken(v.csrf)
}

// The cookies. With https their names begin with __Host-, so that no other host of the same domain can set them.
const (
	cookieSession = "locus-operator"
	cookieForm    = "locus-operator-form"
	cookieNote    = "locus-operator-note"
)

func (v *Visit) cookies() web.Cookies {
	return web.Cookies{W: v.W, R: v.R, Secure: v.secure(), SameSite: http.SameSiteStrictMode}
}

// signIn gives the browser its session, and other tokens for its forms.
func (v *Visit) signIn(e act.DashboardEntry) {
	v.User, v.Session = &e.User, e.Session
	v.cookies().Set(cookieSession, e.Secret, operator.Life)
	v.csrf = web.NewToken()
	v.cookies().Set(cookieForm, v.csrf, 0)
}

// note is a notice at the top of the next page.
type note struct{ Kind, Text string }

const maxNote = 400

// Done sends the browser to a path of ours with a notice of success, after a form was taken.
func (v *Visit) Done(to, format string, args ...any) error {
	return v.redirect(to, note{"success", fmt.Sprintf(format, args...)})
}

func (v *Visit) redirect(to string, notes ...note) error {
	for i := range notes {
		notes[i].Text = notes[i].Text[:min(len(notes[i].Text), maxNote)]
	}
	if len(notes) > 0 {
		b, err := json.Marshal(notes)
		if err != nil {
			return err
		}
		v.cookies().Set(cookieNote, base64.RawURLEncoding.EncodeToString(b), time.Minute)
	}
	v.W.Header().Set("Location", to)
	v.W.WriteHeader(http.StatusSeeOther)
	return nil
}

// takeNotes are the notices for this page.
func (v *Visit) takeNotes() []note {
	var out []note
	if text := v.cookies().Get(cookieNote); text != "" {
		if b, err := base64.RawURLEncoding.DecodeString(text); err == nil {
			_ = json.Unmarshal(b, &out) // what is no note is none
		}
		v.cookies().Clear(cookieNote)
	}
	return append(out[:min(len(out), 4)], v.notes...)
}
