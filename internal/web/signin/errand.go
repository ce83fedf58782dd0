package signin

import (
	"net/url"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
)

// visit is one request on an errand.
type visit struct {
	*web.Visit
	Errand
	pages *Pages
	app   *app       // nil: for the account's own pages
	path  string     // of the errand
	query url.Values // that names the errand, without the step
	wish  Wish
	form  web.Form // what was posted
}

// request names the authorization request that sign-ins count for; "": the account's own pages.
func (v *visit) request() string {
	if v.app == nil {
		return ""
	}
	return v.app.uri
}

// url is the address of a step of the errand.
func (v *visit) url(step Step, account string) string {
	q := url.Values{}
	for key, values := range v.query {
		q[key] = values
	}
	if step != "" {
		q.Set("step", string(step))
	}
	if account != "" {
		q.Set("account", account)
	}
	if len(q) == 0 {
		return v.path
	}
	return v.path + "?" + q.Encode()
}

// browser is the browser as acts know it. It has an id from here on: what is begun in it is nothing in another one.
func (v *visit) browser() act.Browser {
	v.Key()
	return v.Browser()
}

// The rest is for templates.

// Here is the address that forms of this page are sent to.
func (v *visit) Here() string { return v.url(v.wish.Step, v.wish.Account) }

// Start is the errand's address, without a step.
func (v *visit) Start() string { return v.url("", "") }

// To is the address of a step.
func (v *visit) To(step Step) string { return v.url(step, "") }

// SayFault is the text of what is wrong; "": nothing is.
func (v *visit) SayFault(f *fault) string {
	if f == nil {
		return ""
	}
	return v.Say(f.Key, f.Args...)
}

// Fitting are the accounts that may answer.
func (v *visit) Fitting() []Known {
	return slices.DeleteFunc(slices.Clone(v.Known), func(k Known) bool { return !v.fits(&k) })
}

// Terms are what somebody who signs up accepts.
func (v *visit) Terms() (out []web.Link) {
	s := &v.Tenant.Settings
	if s.TermsOfServiceURL != "" {
		out = append(out, web.Link{Text: v.Say("signin.sign_up.terms"), URL: s.TermsOfServiceURL})
	}
	if s.PrivacyPolicyURL != "" {
		out = append(out, web.Link{Text: v.Say("signin.sign_up.policy"), URL: s.PrivacyPolicyURL})
	}
	return out
}

// common fills in what both kinds of errand have.
func (v *visit) common() {
	v.SignUp = v.Tenant.Settings.Signup != tenant.SignupClosed
	q := v.R.URL.Query()
	v.wish = Wish{Step: Step(q.Get("step")), Account: q.Get("account")}
	v.knowAccounts()
}

// knowAccounts looks who is signed in.
func (v *visit) knowAccounts() {
	v.Known = nil
	for _, a := range v.For(v.request()) {
		if a.TakenDown && v.app != nil {
			continue // it has its own pages, and nothing to do with apps
		}
		k := Known{DID: a.DID, Handle: a.Handle, Proven: a.Proven, Deactivated: a.Deactivated}
		if v.app != nil {
			k.Granted = v.app.grants(&a)
		}
		v.Known = append(v.Known, k)
	}
}

// errandToAccount is the errand of somebody who goes to a page of their account.
func (p *Pages) errandToAccount(w *web.Visit) *visit {
	v := &visit{Visit: w, pages: p, path: pathSignIn, query: url.Values{}}
	q := w.R.URL.Query()
	if to := q.Get("return"); ours(to) {
		v.query.Set("return", to)
	}
	if q.Get("again") != "" { // who is signed in shows the password again
		v.query.Set("again", "1")
		v.Prompt, v.Since = promptLogin, w.Now().Add(-device.ProofLife)
	}
	v.common()
	return v
}

// ours says whether an address is one of the account's own pages: nobody is sent anywhere else from here.
func ours(to string) bool {
	return (to == pathAccount || strings.HasPrefix(to, pathAccount+"/") || strings.HasPrefix(to, pathAccount+"?")) &&
		!strings.HasPrefix(to, pathSignIn) && !strings.ContainsAny(to, "\\\r\n\t\x00") && !strings.Contains(to, "//") && !strings.Contains(to, "/..")
}

// goal is where an errand to the account's pages ends.
func (v *visit) goal(did string) string {
	to := v.query.Get("return")
	if to == "" {
		to = pathAccount
	}
	u, err := url.Parse(to)
	if err != nil {
		return pathAccount
	}
	q := u.Query()
	q.Set("account", did)
	u.RawQuery = q.Encode()
	return u.String()
}
