package signin

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/web"
)

// cookieHalf holds the slip of a password that waits for its second factor.
const cookieHalf = "sign-in"

// fault is what is wrong with a field, or with the form: Field "".
type fault struct {
	Field, Key string
	Args       []any
}

// signInForm is the form for handle and password.
type signInForm struct {
	Identifier string
	Locked     bool // only this account may answer
	Again      bool // it is known who it is: the password is wanted again
	Remember   bool
	Fault      *fault
}

// of is the fault, if it is of that field.
func (f *fault) of(field string) *fault {
	if f != nil && f.Field == field {
		return f
	}
	return nil
}

// Wrong is what is wrong with a field; "" is the form as a whole.
func (f *signInForm) Wrong(field string) *fault { return f.Fault.of(field) }

// Fixed says that it is known whose password is wanted.
func (f *signInForm) Fixed() bool { return f.Locked || f.Again }

func (v *visit) emptySignIn(k *Known) *signInForm {
	f := &signInForm{Locked: v.Hint != "", Identifier: v.HintShown()}
	if k == nil {
		k = named(v.Known, v.wish.Account)
	}
	if k != nil && v.Prompt == promptLogin {
		f.Again, f.Identifier = true, k.Handle
		if k.Handle == "" {
			f.Identifier = k.DID
		}
	}
	return f
}

// HintShown is the handle that the app named. A DID that no account here has is shown as it is.
func (v *visit) HintShown() string {
	for i := range v.Known {
		if v.fits(&v.Known[i]) && v.Hint != "" && v.Known[i].Handle != "" {
			return v.Known[i].Handle
		}
	}
	if v.app != nil && v.app.hintHandle != "" {
		return v.app.hintHandle
	}
	return strings.TrimPrefix(v.Hint, "@")
}

func (v *visit) showSignIn(status int, f *signInForm) error { return v.page(status, "sign-in", f) }

// signIn looks at handle and password.
func (v *visit) signIn() error {
	f := v.emptySignIn(nil)
	f.Remember = v.form.On("remember")
	if !f.Locked && !f.Again {
		f.Identifier = v.form.Text("identifier")
	}
	password := v.form.Get("password")
	identifier := strings.TrimPrefix(f.Identifier, "@")
	switch {
	case f.Again:
		identifier = v.wish.Account
	case identifier == "":
		f.Fault = &fault{Field: "identifier", Key: "signin.wrong.identifier"}
		return v.showSignIn(http.StatusBadRequest, f)
	}
	if password == "" {
		f.Fault = &fault{Field: "password", Key: "signin.wrong.password_empty"}
		return v.showSignIn(http.StatusBadRequest, f)
	}
	if wait := v.pages.mayTry(v.Visit, identifier); wait > 0 {
		return v.askWait(f, wait)
	}
	defer v.pages.slow(v.Visit)()
	in, err := v.pages.Acts.EnterByPassword(v.R.Context(), v.Tenant, v.Visitor(), v.browser(), identifier, password, v.stay(f.Remember))
	return v.entered(in, err, f)
}

// stay is how long a sign-in is to last.
func (v *visit) stay(remember bool) device.Stay {
	return device.Stay{Remember: remember, Request: v.request(), TakenDown: v.app == nil}
}

// entered goes on after somebody has shown who they are, or has not.
func (v *visit) entered(in act.Entered, err error, f *signInForm) error {
	var wait *act.WaitError
	status := http.StatusBadRequest
	switch {
	case err == nil:
		return v.arrived(in.Device, in.Account.DID)
	case errors.Is(err, account.ErrFactorApp), errors.Is(err, account.ErrFactorMailed):
		return v.toCode(in.Half, f.Remember)
	case errors.Is(err, account.ErrAwaiting):
		return v.Redirect(v.url(StepWaiting, ""))
	case errors.Is(err, device.ErrAccounts):
		v.Note(web.Failure, "signin.wrong.too_many_accounts")
		return v.Redirect(v.url(StepChoose, ""))
	case errors.As(err, &wait):
		return v.askWait(f, wait.Wait)
	case errors.Is(err, account.ErrCredentials), errors.Is(err, account.ErrPasswordTooLong):
		f.Fault = &fault{Key: "signin.wrong.credentials"}
	case errors.Is(err, act.ErrAppPassword):
		f.Fault = &fault{Field: "password", Key: "signin.wrong.app_password"}
	case errors.Is(err, auth.ErrAccountTakedown):
		f.Fault, status = &fault{Key: "signin.wrong.taken_down"}, http.StatusForbidden
	case errors.Is(err, passkey.ErrRefused), errors.Is(err, passkey.ErrExpired), errors.Is(err, passkey.ErrCloned):
		f.Fault = &fault{Key: "signin.wrong.passkey"}
	case errors.Is(err, account.ErrBusy):
		v.W.Header().Set("Retry-After", "5")
		f.Fault, status = &fault{Key: "signin.wrong.busy"}, http.StatusServiceUnavailable
	default:
		return err
	}
	return v.showSignIn(status, f)
}

// askWait says that there were too many attempts.
func (v *visit) askWait(f *signInForm, wait time.Duration) error {
	f.Fault = v.waits(wait)
	return v.showSignIn(http.StatusTooManyRequests, f)
}

// waits tells how long to wait, on the page and in the answer's head.
func (v *visit) waits(wait time.Duration) *fault {
	v.retryAfter(wait)
	return &fault{Key: "signin.wrong.wait", Args: []any{"minutes", minutes(wait)}}
}

// arrived goes on when an account was just signed in.
func (v *visit) arrived(d *device.Device, did string) error {
	v.Keep(d)
	v.ClearCookie(cookieHalf)
	if err := v.Refresh(); err != nil {
		return err
	}
	return v.next(did)
}

// passkey signs in by a passkey that a script asked for.
func (v *visit) passkey() error {
	f := v.emptySignIn(nil)
	f.Remember = v.form.On("remember")
	if wait := v.pages.mayTry(v.Visit, ""); wait > 0 {
		return v.askWait(f, wait)
	}
	d, who, err := v.pages.Acts.SignInDeviceByPasskey(v.R.Context(), v.Tenant, v.Visitor(), v.browser(), []byte(v.form.Get("answer")), v.app == nil, v.stay(f.Remember))
	return v.entered(act.Entered{Device: d, Account: who}, err, f)
}

// Passkey is what the browser is asked for a passkey with; "": none is asked for.
func (v *visit) Passkey() string {
	options, err := v.pages.Acts.AskPasskey(v.R.Context(), v.Tenant, v.Visitor())
	if err != nil { // the tenant's host cannot have passkeys
		return ""
	}
	return string(options)
}
