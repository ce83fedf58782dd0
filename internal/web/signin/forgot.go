package signin

import (
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/web"
)

// forgotForm is the form of both pages of a forgotten password.
type forgotForm struct {
	Email, Code string
	Min         int
	Fault       *fault
}

// Wrong is what is wrong with a field; nil: nothing.
func (f *forgotForm) Wrong(field string) *fault { return f.Fault.of(field) }

// forgot mails the code for a new password. What comes of it looks the same for every address.
func (v *visit) forgot() error {
	f := &forgotForm{Email: v.form.Text("email")}
	if f.Email == "" {
		f.Fault = &fault{Field: "email", Key: "signin.wrong.empty"}
		return v.page(http.StatusBadRequest, "forgot", f)
	}
	if wait := v.pages.take(v.Visit, resets); wait > 0 {
		f.Fault = v.waits(wait)
		return v.page(http.StatusTooManyRequests, "forgot", f)
	}
	defer v.pages.slow(v.Visit)()
	if err := v.pages.Acts.RequestPasswordReset(v.R.Context(), v.Tenant, v.Visitor(), f.Email); err != nil && !errors.Is(err, account.ErrNoEmail) {
		return err
	}
	v.Note(web.Info, "signin.reset.text")
	return v.Redirect(v.url(StepReset, ""))
}

// reset sets the new password.
func (v *visit) reset() error {
	f := &forgotForm{Code: v.form.Text("code"), Min: v.Tenant.Settings.PasswordMinLength}
	if f.Code == "" {
		f.Fault = &fault{Field: "code", Key: "signin.wrong.empty"}
		return v.page(http.StatusBadRequest, "reset", f)
	}
	if wait := v.pages.mayTry(v.Visit, ""); wait > 0 {
		f.Fault = v.waits(wait)
		return v.page(http.StatusTooManyRequests, "reset", f)
	}
	defer v.pages.slow(v.Visit)()
	err := v.pages.Acts.ResetPassword(v.R.Context(), v.Tenant, v.Visitor(), f.Code, v.form.Get("password"))
	status := http.StatusBadRequest
	switch {
	case err == nil:
		v.Note(web.Success, "signin.reset.done")
		return v.Redirect(v.url(StepSignIn, ""))
	case errors.Is(err, account.ErrTokenInvalid):
		f.Fault = &fault{Field: "code", Key: "signin.wrong.code"}
	case errors.Is(err, account.ErrTokenExpired):
		f.Fault = &fault{Field: "code", Key: "signin.wrong.code_old"}
	case errors.Is(err, account.ErrPasswordLength):
		f.Fault = &fault{Field: "password", Key: "signin.wrong.password_length", Args: []any{"min", f.Min, "max", account.MaxNewPassword}}
	case errors.Is(err, account.ErrBusy):
		v.W.Header().Set("Retry-After", "5")
		f.Fault, status = &fault{Key: "signin.wrong.busy"}, http.StatusServiceUnavailable
	default:
		return err
	}
	return v.page(status, "reset", f)
}
