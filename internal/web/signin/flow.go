package signin

import (
	"slices"
	"strings"
	"time"
)

// Step is a page on the way from what somebody came for to the answer.
type Step string

// The pages. Their names stand in addresses.
const (
	StepWelcome    Step = "welcome"    // to sign in, or to open an account
	StepChoose     Step = "choose"     // one of the accounts that are signed in here
	StepSignIn     Step = "sign-in"    // handle or address, and password
	StepPasskey    Step = "passkey"    // in place of both: it is no page of its own
	StepCode       Step = "code"       // the second factor
	StepSignUp     Step = "sign-up"    // a new account
	StepForgot     Step = "forgot"     // ask for the code that sets a new password
	StepReset      Step = "reset"      // set it
	StepWaiting    Step = "waiting"    // the sign-up waits for approval
	StepReactivate Step = "reactivate" // the account is deactivated
	StepConsent    Step = "consent"    // may the app do this?
)

// asked are the pages that somebody may go to at will.
var asked = []Step{StepChoose, StepSignIn, StepCode, StepSignUp, StepForgot, StepReset, StepWaiting}

// Values of a request's prompt.
// They are those of OpenID Connect.
const (
	promptNone    = "none"
	promptLogin   = "login"
	promptConsent = "consent"
	promptSelect  = "select_account"
	promptCreate  = "create"
)

// Known is an account that is signed in in this browser.
type Known struct {
	DID, Handle string
	Proven      time.Time // when its owner last proved to be it
	Deactivated bool
	Granted     bool // it has granted this app before what is asked for now
}

// Shown is what people know it by.
func (k Known) Shown() string {
	if k.Handle == "" {
		return k.DID
	}
	return "@" + k.Handle
}

// Errand is what somebody came for: to answer an app's request, or a page of the account.
type Errand struct {
	App       bool   // there is a request
	Prompt    string // as the app sent it
	Hint      string // handle or DID of the one account that may answer; "": any
	Since     time.Time
	AskAlways bool // the app is nobody's that is known: it may be somebody else who calls itself so
	SignUp    bool // the tenant takes new accounts
	Known     []Known
}

// Wish is what the visitor said last. It stands in the page's address, and may say anything.
type Wish struct {
	Step    Step
	Account string // DID
	Acted   bool   // it was said by a form just now, not by an address that somebody may have made
}

// Turn is what comes next: a page, an error that goes back to the app, or the answer.
type Turn struct {
	Step    Step
	Account *Known // whose page it is; nil: nobody's yet
	Refusal string // error for the app
	Grant   bool   // nothing is left to ask
}

// fits says whether an account may answer at all.
func (e *Errand) fits(k *Known) bool {
	return e.Hint == "" || k.DID == e.Hint || k.Handle != "" && strings.EqualFold(k.Handle, strings.TrimPrefix(e.Hint, "@"))
}

// signedIn says whether the owner of an account need not show the password again.
func (e *Errand) signedIn(k *Known) bool { return e.Prompt != promptLogin || k.Proven.After(e.Since) }

// asksConsent says whether an account's owner has to be asked.
func (e *Errand) asksConsent(k *Known) bool {
	return e.AskAlways || e.Prompt == promptConsent || !k.Granted
}

// Next decides what comes next.
func (e *Errand) Next(w Wish) Turn {
	fitting := slices.DeleteFunc(slices.Clone(e.Known), func(k Known) bool { return !e.fits(&k) })
	if e.Prompt == promptNone {
		return e.silent(fitting)
	}
	if slices.Contains(asked, w.Step) && (w.Step != StepSignUp || e.SignUp) && (w.Step != StepChoose || len(fitting) > 0) {
		return Turn{Step: w.Step, Account: named(fitting, w.Account)}
	}
	if k := named(fitting, w.Account); k != nil {
		return e.of(k, w.Acted)
	}
	switch {
	case e.Prompt == promptCreate && e.SignUp:
		return Turn{Step: StepSignUp}
	case len(fitting) == 0 && e.Hint == "" && e.SignUp && e.App:
		return Turn{Step: StepWelcome}
	case len(fitting) == 0:
		return Turn{Step: StepSignIn}
	case len(fitting) > 1 || e.Prompt == promptSelect || !e.App:
		return Turn{Step: StepChoose}
	}
	// One account only. It answers at once when the app named it, and there is nothing to ask.
	return e.of(&fitting[0], e.Hint != "" && e.Prompt == "")
}

// of is what comes next for an account. decided says that it may be over with this.
func (e *Errand) of(k *Known, decided bool) Turn {
	switch {
	case !e.signedIn(k):
		return Turn{Step: StepSignIn, Account: k}
	case !e.App:
		return Turn{Account: k, Grant: true}
	case k.Deactivated:
		return Turn{Step: StepReactivate, Account: k}
	case decided && !e.asksConsent(k):
		return Turn{Account: k, Grant: true}
	}
	return Turn{Step: StepConsent, Account: k}
}

// silent answers an app that wants nobody to be asked.
func (e *Errand) silent(fitting []Known) Turn {
	ready := slices.DeleteFunc(fitting, func(k Known) bool { return k.Deactivated })
	switch {
	case e.AskAlways:
		return Turn{Refusal: "consent_required"}
	case len(ready) == 0:
		return Turn{Refusal: "login_required"}
	case len(ready) > 1:
		return Turn{Refusal: "account_selection_required"}
	case e.asksConsent(&ready[0]):
		return Turn{Refusal: "consent_required"}
	}
	return Turn{Account: &ready[0], Grant: true}
}

func named(all []Known, did string) *Known {
	i := slices.IndexFunc(all, func(k Known) bool { return k.DID == did })
	if i < 0 {
		return nil
	}
	return &all[i]
}
