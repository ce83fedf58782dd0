package signin

import (
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/web"
)

// show shows the page of a turn, or ends the errand.
func (v *visit) show(t Turn) error {
	switch {
	case t.Refusal != "":
		return v.refuse(t.Refusal, "")
	case t.Grant && v.app != nil:
		return v.grant(t.Account, v.app.asked)
	case t.Grant:
		return v.Redirect(v.goal(t.Account.DID))
	}
	switch t.Step {
	case StepWelcome:
		return v.page(http.StatusOK, "welcome", nil)
	case StepChoose:
		return v.page(http.StatusOK, "choose", nil)
	case StepCode:
		return v.showCode(http.StatusOK, nil)
	case StepSignUp:
		return v.showSignUp(http.StatusOK, nil)
	case StepForgot:
		return v.page(http.StatusOK, "forgot", &forgotForm{})
	case StepReset:
		return v.page(http.StatusOK, "reset", &forgotForm{Min: v.Tenant.Settings.PasswordMinLength})
	case StepWaiting:
		return v.page(http.StatusOK, "waiting", nil)
	case StepReactivate:
		return v.page(http.StatusOK, "reactivate", t.Account)
	case StepConsent:
		return v.showConsent(t.Account)
	}
	return v.showSignIn(http.StatusOK, v.emptySignIn(t.Account))
}

// next goes on with an account after a form was taken: to the end of the errand, or to the page that comes next.
func (v *visit) next(did string) error {
	v.knowAccounts()
	t := v.Next(Wish{Account: did, Acted: true})
	if t.Grant || t.Refusal != "" {
		return v.show(t)
	}
	return v.Redirect(v.url("", did))
}

// take does what a form says.
func (v *visit) take(f web.Form) error {
	v.form = f
	if f.Get("do") == "cancel" {
		return v.refuse("access_denied", "The user cancelled the request")
	}
	switch Step(f.Get("step")) {
	case StepChoose:
		return v.choose()
	case StepSignIn:
		return v.signIn()
	case StepCode:
		return v.code()
	case StepPasskey:
		return v.passkey()
	case StepSignUp:
		return v.signUp()
	case StepForgot:
		return v.forgot()
	case StepReset:
		return v.reset()
	case StepReactivate:
		return v.reactivate()
	case StepConsent:
		return v.consent()
	}
	return v.Redirect(v.url("", ""))
}

// view is what a template of this room gets.
type view struct {
	*visit
	Form any // of the page; what was entered, and what is wrong with it
}

// page shows a page of this room.
func (v *visit) page(status int, name string, form any) error {
	if v.app != nil {
		v.letLeave()
	}
	return v.Show(status, templates()[name], &view{v, form})
}

// choose goes on with one of the accounts that are signed in here, or signs one out.
func (v *visit) choose() error {
	did := v.form.Get("account")
	if k := named(v.Known, did); k != nil && v.form.Get("do") == "sign-out" {
		return v.signOutOf(k, v.url("", ""))
	}
	return v.next(did)
}

// signOutOf signs an account out in this browser.
func (v *visit) signOutOf(k *Known, to string) error {
	s := v.Account(k.DID, v.request())
	d, err := v.pages.Acts.SignOutDevice(v.R.Context(), v.Tenant, v.Browser(), v.Owner(s))
	if err != nil {
		return err
	}
	v.Keep(d)
	v.Note(web.Success, "signin.said.signed_out", "handle", k.Shown())
	return v.Redirect(to)
}

// signOut is posted to by the account's pages.
func (p *Pages) signOut(w *web.Visit, f web.Form) error {
	v := p.errandToAccount(w)
	if k := named(v.Known, f.Get("account")); k != nil {
		return v.signOutOf(k, pathSignIn)
	}
	return v.Redirect(pathSignIn)
}

func (p *Pages) getSignIn(w *web.Visit) error {
	v := p.errandToAccount(w)
	return v.show(v.Next(v.wish))
}

func (p *Pages) postSignIn(w *web.Visit, f web.Form) error {
	v := p.errandToAccount(w)
	return v.take(f)
}

// reactivate shows an account again that is deactivated.
func (v *visit) reactivate() error {
	s := v.Account(v.wish.Account, v.request())
	if s == nil {
		return v.Redirect(v.url("", ""))
	}
	err := v.pages.Acts.Activate(v.R.Context(), v.Tenant, v.Owner(s))
	switch {
	case err == nil:
		if err := v.Refresh(); err != nil {
			return err
		}
		return v.next(s.DID)
	case errors.Is(err, account.ErrAwaiting):
		return v.Redirect(v.url(StepWaiting, ""))
	case errors.Is(err, account.ErrDIDDocument), errors.Is(err, identity.ErrDIDNotFound), errors.Is(err, identity.ErrDIDTombstoned):
		v.Note(web.Failure, "signin.reactivate.elsewhere")
	case errors.Is(err, identity.ErrDIDUnavailable):
		v.Note(web.Failure, "signin.wrong.busy")
	default:
		return err
	}
	return v.page(http.StatusConflict, "reactivate", named(v.Known, s.DID))
}
