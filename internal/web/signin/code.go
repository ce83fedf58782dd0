package signin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/web"
)

// waiting is what the browser keeps between password and code. The page carries it too: with two tabs, the cookie is the
// later one's.
type waiting struct {
	Half     string `json:"h"`
	Remember bool   `json:"r"`
}

func (w waiting) String() string {
	b, _ := json.Marshal(w) // of a text and a truth: it cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func readWaiting(text string) (w waiting) {
	if b, err := base64.RawURLEncoding.DecodeString(text); err == nil {
		_ = json.Unmarshal(b, &w) // what is none has no half
	}
	return w
}

// codeForm is the form for the second factor.
type codeForm struct {
	Waiting waiting
	App     bool // an authenticator app, or backup codes
	Mail    bool // a mailed code
	Fault   *fault
}

// Wrong is what is wrong with a field; nil: nothing.
func (f *codeForm) Wrong(field string) *fault { return f.Fault.of(field) }

// toCode goes to the page for the second factor.
func (v *visit) toCode(half string, remember bool) error {
	v.SetCookie(cookieHalf, waiting{half, remember}.String(), act.HalfLife)
	return v.Redirect(v.url(StepCode, v.wish.Account))
}

// showCode shows the page for the second factor.
func (v *visit) showCode(status int, f *codeForm) error {
	if f == nil {
		f = &codeForm{Waiting: readWaiting(v.Cookie(cookieHalf))}
	}
	factors, err := v.pages.Acts.AsksCode(v.R.Context(), v.Tenant, v.browser(), f.Waiting.Half)
	if errors.Is(err, act.ErrSlip) || errors.Is(err, auth.ErrAccountTakedown) || err == nil && !factors.Any() {
		return v.passwordAgain()
	}
	if err != nil {
		return err
	}
	f.App, f.Mail = factors.App, factors.Email && !factors.App
	return v.page(status, "code", f)
}

// passwordAgain goes back to where a sign-in begins.
func (v *visit) passwordAgain() error {
	v.ClearCookie(cookieHalf)
	v.Note(web.Info, "signin.wrong.half")
	return v.Redirect(v.url(StepSignIn, v.wish.Account))
}

// code looks at a second factor.
func (v *visit) code() error {
	f := &codeForm{Waiting: readWaiting(v.form.Get("waiting"))}
	given := v.form.Text("code")
	again := v.form.Get("do") == "again"
	if again {
		given = ""
	} else if given == "" {
		f.Fault = &fault{Field: "code", Key: "signin.wrong.empty"}
		return v.showCode(http.StatusBadRequest, f)
	}
	if wait := v.pages.mayTry(v.Visit, ""); wait > 0 {
		f.Fault = v.waits(wait)
		return v.showCode(http.StatusTooManyRequests, f)
	}
	in, err := v.pages.Acts.EnterByCode(v.R.Context(), v.Tenant, v.Visitor(), v.browser(), f.Waiting.Half, given, v.form.On("trust"), v.stay(f.Waiting.Remember))
	var wait *act.WaitError
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, act.ErrSlip), errors.Is(err, auth.ErrAccountTakedown):
		return v.passwordAgain()
	case errors.As(err, &wait):
		f.Fault, status = v.waits(wait.Wait), http.StatusTooManyRequests
	case errors.Is(err, account.ErrFactorMailed) && again:
		v.Note(web.Info, "signin.said.code_sent")
		return v.Redirect(v.url(StepCode, v.wish.Account))
	case errors.Is(err, account.ErrFactorMailed), errors.Is(err, account.ErrFactorApp), errors.Is(err, account.ErrTokenInvalid):
		f.Fault = &fault{Field: "code", Key: "signin.wrong.code"}
	case errors.Is(err, account.ErrTokenExpired):
		f.Fault = &fault{Field: "code", Key: "signin.wrong.code_old"}
	default:
		return v.entered(in, err, v.emptySignIn(nil))
	}
	return v.showCode(status, f)
}
