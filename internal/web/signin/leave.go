package signin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/web"
)

const (
	slipLeave = "leave for an app"
	// leaveLife is how long the way from the last form to the app may take.
	leaveLife = 2 * time.Minute
)

// leaving is the answer to an app, on its way there.
type leaving struct {
	oauth.Redirect
	Name string // of the app
}

// depart sends the person back to the app in two steps: to an address of ours first, which sends them on. In the windows
// that phones open for signing in, other ways fail. What is to be sent on is a slip, so the address leads only where this
// server has sent this browser.
func (v *visit) depart(back oauth.Redirect) error {
	l := leaving{back, v.AppName()}
	if v.R.Method == http.MethodGet { // nobody was asked anything: no form has to end there
		return v.away(l)
	}
	slip, err := v.pages.Acts.WriteSlip(v.R.Context(), v.Tenant, slipLeave, v.Visitor().Browser, leaveLife, l)
	if err != nil {
		return err
	}
	return v.Redirect(pathLeave + "?" + url.Values{"to": {slip}}.Encode())
}

// leave is the second step.
func (p *Pages) leave(w *web.Visit) error {
	v := &visit{Visit: w, pages: p}
	if !v.fromAuthorize() {
		return &web.Problem{Status: http.StatusForbidden, Key: "signin.problem.leave"}
	}
	var l leaving
	err := p.Acts.ReadSlip(w.R.Context(), w.Tenant, slipLeave, v.Visitor().Browser, w.R.URL.Query().Get("to"), &l)
	if errors.Is(err, act.ErrSlip) {
		return &web.Problem{Status: http.StatusForbidden, Key: "signin.problem.leave"}
	}
	if err != nil {
		return err
	}
	return v.away(l)
}

// away sends the browser to the app.
func (v *visit) away(l leaving) error {
	if l.Mode == "form_post" {
		return v.postAway(l)
	}
	to, err := url.Parse(l.URL())
	if err != nil {
		return fmt.Errorf("address of an app: %w", err)
	}
	return v.Leave(to)
}

// fromAuthorize says whether the browser comes from one of our own pages of a request, as far as it tells.
func (v *visit) fromAuthorize() bool {
	h := v.R.Header
	site, referer := h.Get("Sec-Fetch-Site"), h.Get("Referer")
	return (site == "" || site == "same-origin") && (referer == "" || strings.HasPrefix(referer, v.Tenant.PublicURL+pathAuthorize))
}

// field is a hidden field of a form.
type field struct{ Name, Value string }

// postForm is a form that goes to an app.
type postForm struct {
	Name   string
	To     string
	Fields []field
}

// postAway sends the answer as a form, which a script sends at once.
func (v *visit) postAway(l leaving) error {
	f := postForm{Name: l.Name, To: l.URI}
	for _, p := range l.Params {
		f.Fields = append(f.Fields, field{p[0], p[1]})
	}
	scheme, _, _ := strings.Cut(l.URI, ":")
	v.Allow("form-action", scheme+":") // not the host: browsers take no IPv6 address in a policy
	return v.Show(http.StatusOK, templates()["post"], f)
}

// originOf is the origin of a URL that is the app's word; "": it has none.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return "https://" + u.Host
}
