package signin

import (
	"net/http"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/oauth"
)

const (
	cookieProbe = "cookie-probe" // set to see whether it comes back
	cookieKept  = "cookies-kept" // it did, some day
	keptLife    = 31 * 24 * time.Hour
)

// probePage is the page that looks whether the browser keeps cookies, or says that it does not.
type probePage struct {
	*visit
	Form   bool // they are lost
	Fields []field
	Lost   string // back to the app
}

// keepsCookies finds out whether a browser keeps cookies that is known to lose them: the windows that phones open for
// signing in. done: the answer was given.
func (v *visit) keepsCookies() (done bool, err error) {
	if !strings.Contains(v.R.UserAgent(), "iPhone OS") || len(v.Accounts) > 0 || v.Cookie(cookieKept) != "" {
		return false, nil
	}
	page := &probePage{visit: v, Fields: []field{{"client_id", v.app.client.ID}, {"request_uri", v.app.uri}}}
	switch v.R.URL.Query().Get("cookies") {
	case "lost":
		return true, v.refuse(oauth.AccessDenied, "ERR_COOKIES_UNSUPPORTED")
	case "probe":
		if v.Cookie(cookieProbe) != "" {
			v.ClearCookie(cookieProbe)
			v.SetCookie(cookieKept, "1", keptLife)
			return false, nil
		}
		page.Form = true
		page.Lost = v.url("", "") + "&cookies=lost"
		v.letLeave()
		return true, v.Show(http.StatusBadRequest, templates()["cookies"], page)
	}
	v.SetCookie(cookieProbe, "1", time.Minute)
	page.Fields = append(page.Fields, field{"cookies", "probe"})
	return true, v.Show(http.StatusOK, templates()["cookies"], page)
}
