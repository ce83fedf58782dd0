package signin

import (
	"cmp"
	"net/url"
	"time"

	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// app is who asks, and for what.
type app struct {
	uri     string // of the request
	client  *client.Client
	trusted bool // the operator knows it
	asked   scope.Set
	back    string // where the person is sent back to
	expires time.Time
	device  []byte              // of the browser that acted first; nil: none yet
	granted map[int64]scope.Set // by the account's number: what it granted before
	sets    map[scope.Include]*scope.PermissionSet

	hintHandle string // of the account that the app named by its DID
}

// grants says whether an account has granted before what is asked for now.
func (a *app) grants(s *device.SignedIn) bool {
	before, ok := a.granted[s.AID]
	return ok && before.Both(a.asked).String() == a.asked.String()
}

// AppName is what people know the app by: its own word for it counts only where the operator knows the app.
func (v *visit) AppName() string {
	if v.app == nil {
		return ""
	}
	c := v.app.client
	if v.app.trusted || c.Development {
		return cmp.Or(c.Name, c.Host())
	}
	return c.Host()
}

// SecondsLeft is how long the request lives, if nobody does anything.
func (v *visit) SecondsLeft() int {
	return max(0, int(v.app.expires.Sub(v.Now())/time.Second))
}

// letLeave lets forms of this page end at the app. Chromium holds redirections after a form to the policy as well, those of
// the app's own pages too, so it names everybody; what a form of ours is answered with is ours to say.
func (v *visit) letLeave() {
	v.Allow("form-action", "https:", "http://127.0.0.1:*")
	// Browsers take no IPv6 address in a policy, so an app at [::1] needs its whole scheme, as one with a scheme of its own does.
	if u, err := url.Parse(v.app.back); err == nil && u.Scheme != "https" && u.Hostname() != "127.0.0.1" {
		v.Allow("form-action", u.Scheme+":")
	}
}
