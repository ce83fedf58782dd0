package signin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
)

// signUpForm is the form for a new account.
type signUpForm struct {
	Handle, Domain, Email, Invite string
	Domains                       []string
	Min, Max, MinPassword         int
	NeedsInvite, NeedsApproval    bool
	Remember                      bool
	Captcha                       *captcha // nil: none is asked for
	Free                          string   // the handle that was found to be free
	Faults                        []fault
}

// Wrong is what is wrong with a field; nil: nothing.
func (f *signUpForm) Wrong(field string) *fault {
	for i := range f.Faults {
		if f.Faults[i].Field == field {
			return &f.Faults[i]
		}
	}
	return nil
}

func (f *signUpForm) fault(field, key string, args ...any) {
	f.Faults = append(f.Faults, fault{field, key, args})
}

// whole is the handle that was asked for: under the domain that was chosen, unless it was typed whole.
func (f *signUpForm) whole() string {
	h := strings.ToLower(strings.TrimPrefix(f.Handle, "@"))
	if h == "" || strings.HasSuffix(h, f.Domain) {
		return h
	}
	return h + f.Domain
}

// Suffix is the ending that stands behind the field, where there is but one.
func (f *signUpForm) Suffix() string {
	if len(f.Domains) == 1 {
		return f.Domain
	}
	return ""
}

// Live is where a script asks whether a handle is free.
func (f *signUpForm) Live() string {
	return pathHandle + "?" + url.Values{"domain": {f.Domain}}.Encode()
}

func (v *visit) newSignUp() *signUpForm {
	s := &v.Tenant.Settings
	f := &signUpForm{
		Domains: v.Tenant.UserDomains(), Min: s.HandleMinLength, Max: s.HandleMaxLength, MinPassword: s.PasswordMinLength,
		NeedsInvite: s.InviteRequired(), NeedsApproval: s.Signup == tenant.SignupApproval, Captcha: captchaOf(v.Tenant),
	}
	if len(f.Domains) > 0 {
		f.Domain = f.Domains[0]
	}
	return f
}

func (v *visit) showSignUp(status int, f *signUpForm) error {
	if f == nil {
		f = v.newSignUp()
	}
	if f.Captcha != nil {
		f.Captcha.allow(v.Visit)
	}
	return v.page(status, "sign-up", f)
}

// signUp makes an account, or only looks whether a handle is free.
func (v *visit) signUp() error {
	if !v.SignUp {
		return v.Redirect(v.url("", ""))
	}
	f := v.newSignUp()
	f.Handle, f.Email, f.Invite, f.Remember = v.form.Text("handle"), v.form.Text("email"), v.form.Text("invite"), v.form.On("remember")
	for _, d := range f.Domains {
		if d == v.form.Get("domain") {
			f.Domain = d
		}
	}
	if wait := v.pages.take(v.Visit, handleLooks); wait > 0 {
		v.retryAfter(wait)
		f.fault("", "signin.wrong.wait", "minutes", minutes(wait))
		return v.showSignUp(http.StatusTooManyRequests, f)
	}
	defer v.pages.slow(v.Visit)()
	if v.form.Get("do") == "check" {
		return v.checkHandle(f)
	}
	if wait := v.pages.take(v.Visit, signUps); wait > 0 {
		v.retryAfter(wait)
		f.fault("", "signin.wrong.wait", "minutes", minutes(wait))
		return v.showSignUp(http.StatusTooManyRequests, f)
	}
	password := v.form.Get("password")
	if !v.checkSignUp(f, password) {
		return v.showSignUp(http.StatusBadRequest, f)
	}
	made, d, err := v.pages.Acts.SignUpDevice(v.R.Context(), v.Tenant, v.Visitor(), v.browser(), account.Request{
		Handle: f.whole(), Email: f.Email, Password: &password, InviteCode: f.Invite,
	}, v.stay(f.Remember))
	switch {
	case errors.Is(err, device.ErrAccounts):
		v.Note(web.Failure, "signin.wrong.too_many_accounts")
		return v.Redirect(v.url(StepChoose, ""))
	case err == nil && made.Queued:
		return v.Redirect(v.url(StepWaiting, ""))
	case err == nil:
		return v.arrived(d, made.DID)
	case !v.whySignUp(f, err):
		return err
	case f.Wrong("") != nil:
		return v.showSignUp(http.StatusServiceUnavailable, f)
	}
	return v.showSignUp(http.StatusBadRequest, f)
}

// checkHandle says whether a handle is free, for those without script.
func (v *visit) checkHandle(f *signUpForm) error {
	handle, err := v.handleFree(f)
	if err == nil {
		f.Free = handle
		return v.showSignUp(http.StatusOK, f)
	}
	if !v.whySignUp(f, err) {
		return err
	}
	return v.showSignUp(http.StatusOK, f)
}

func (v *visit) handleFree(f *signUpForm) (string, error) {
	handle, kind, err := v.pages.Acts.HandleFree(v.R.Context(), v.Tenant, f.whole())
	if err == nil && kind != identity.HandleHosted {
		err = account.ErrHandleDomain
	}
	return handle, err
}

// checkSignUp looks at all that costs nothing, and then asks the service that tells people from programs.
func (v *visit) checkSignUp(f *signUpForm, password string) bool {
	if f.Handle == "" {
		f.fault("handle", "signin.wrong.empty")
	}
	if f.Email == "" {
		f.fault("email", "signin.wrong.empty")
	}
	if f.NeedsInvite && f.Invite == "" {
		f.fault("invite", "signin.wrong.empty")
	}
	if err := account.CheckNewPassword(&v.Tenant.Settings, password); err != nil {
		v.whySignUp(f, err)
	}
	if len(f.Faults) > 0 || f.Captcha == nil {
		return len(f.Faults) == 0
	}
	switch err := v.pages.human(v.Visit, f.Captcha, v.form); {
	case errors.Is(err, errCaptchaAway):
		f.fault("captcha", "signin.wrong.captcha_away")
	case err != nil:
		f.fault("captcha", "signin.wrong.captcha")
	}
	return len(f.Faults) == 0
}

// whySignUp puts a refusal beside the field that it is about. It says whether it knows where.
func (v *visit) whySignUp(f *signUpForm, err error) bool {
	s := &v.Tenant.Settings
	switch {
	case errors.Is(err, account.ErrHandleTaken):
		f.fault("handle", "signin.wrong.handle_taken")
	case errors.Is(err, identity.ErrHandleTooShort), errors.Is(err, identity.ErrHandleTooLong):
		f.fault("handle", "signin.wrong.handle_length", "min", s.HandleMinLength, "max", s.HandleMaxLength)
	case errors.Is(err, identity.ErrHandleReserved), errors.Is(err, identity.ErrHandleRefused):
		f.fault("handle", "signin.wrong.handle_reserved")
	case identity.HandleError(err), errors.Is(err, account.ErrHandleDomain):
		f.fault("handle", "signin.wrong.handle_syntax")
	case errors.Is(err, account.ErrEmailTaken):
		f.fault("email", "signin.wrong.email_taken")
	case errors.Is(err, account.ErrEmailRequired), errors.Is(err, account.ErrEmailUnsupported):
		f.fault("email", "signin.wrong.email")
	case errors.Is(err, account.ErrPasswordLength):
		f.fault("password", "signin.wrong.password_length", "min", s.PasswordMinLength, "max", account.MaxNewPassword)
	case errors.Is(err, account.ErrInviteRequired), errors.Is(err, account.ErrInviteUnavailable):
		f.fault("invite", "signin.wrong.invite")
	case errors.Is(err, account.ErrBusy):
		v.W.Header().Set("Retry-After", "5")
		f.fault("", "signin.wrong.busy")
	case errors.Is(err, identity.ErrDIDUnavailable):
		v.W.Header().Set("Retry-After", "60")
		f.fault("", "signin.wrong.directory")
	default:
		return false
	}
	return true
}

// liveAnswer is what a script is told of what is being typed.
type liveAnswer struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// lookAtHandle tells a script whether a handle is free.
func (p *Pages) lookAtHandle(w *web.Visit) (web.Answer, error) {
	v := p.errandToAccount(w)
	if !v.SignUp {
		return web.Answer{}, web.NotFound
	}
	if wait := p.take(w, handleLooks); wait > 0 {
		v.retryAfter(wait)
		return web.Answer{Status: http.StatusTooManyRequests, Body: liveAnswer{}}, nil
	}
	defer p.slow(w)()
	f := v.newSignUp()
	q := w.R.URL.Query()
	f.Handle = strings.TrimSpace(q.Get("value"))
	for _, d := range f.Domains {
		if d == q.Get("domain") {
			f.Domain = d
		}
	}
	if f.Handle == "" {
		return web.Answer{Body: liveAnswer{}}, nil
	}
	handle, err := v.handleFree(f)
	if err == nil {
		return web.Answer{Body: liveAnswer{true, v.Say("signin.sign_up.free", "handle", "@"+handle)}}, nil
	}
	if !v.whySignUp(f, err) {
		return web.Answer{}, err
	}
	wrong := f.Faults[0]
	return web.Answer{Body: liveAnswer{false, v.Say(wrong.Key, wrong.Args...)}}, nil
}
