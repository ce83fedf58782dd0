package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// Visit is one request for a page, and who makes it.
type Visit struct {
	Tenant *tenant.Tenant
	Caller xrpc.Visitor
	W      http.ResponseWriter
	R      *http.Request

	Device   *device.Device    // nil: nobody is signed in on this browser
	Accounts []device.SignedIn // that are signed in on it, the latest first; those of one request only are among them
	Lang     string            // of the texts: a tag of [Languages]

	frame  *Frame
	policy map[string][]string // what this page may load besides
	csrf   string              // what the cookie holds
	kept   device.Presented    // what the browser was told to keep in this answer
	notes  []Note
}

// enter finds out who looks.
func (v *Visit) enter() error {
	v.Lang = v.language("")
	return v.Refresh()
}

// Refresh looks again who is signed in, after an act has changed it.
func (v *Visit) Refresh() error {
	v.Accounts = nil
	if v.presented().ID == "" || v.presented().Session == "" {
		return nil
	}
	look, err := v.frame.acts.SeeDevice(v.R.Context(), v.Tenant, v.Browser())
	if err != nil {
		return err
	}
	v.Keep(look.Device)
	v.Accounts = look.Accounts
	return nil
}

// Keep has the browser keep what a device's secrets are now: for what the acts of devices return.
func (v *Visit) Keep(d *device.Device) {
	v.Device = d
	if d == nil {
		v.clearCookie(cookieSession)
		return
	}
	if d.Keep == nil {
		return
	}
	v.kept = *d.Keep
	v.setCookie(cookieDevice, d.Keep.ID, device.Life)
	v.setCookie(cookieSession, d.Keep.Session, device.Life)
}

// Key names this browser to an authorization request that only it may go on with. A browser that has no id yet is given
// one, without anything being stored: call it when somebody does something, not when a page is only looked at.
func (v *Visit) Key() []byte {
	p := v.presented()
	if !device.IsSecret(p.ID) {
		p.ID = device.NewSecret()
		v.kept.ID = p.ID
		v.setCookie(cookieDevice, p.ID, device.Life)
	}
	return device.Key(p.ID)
}

// HasKey says whether the browser has an id, which an authorization request can be held against.
func (v *Visit) HasKey() bool { return device.IsSecret(v.presented().ID) }

// presented is what the browser has in its cookies, or was told to keep in this answer.
func (v *Visit) presented() device.Presented {
	p := device.Presented{ID: v.cookie(cookieDevice), Session: v.cookie(cookieSession)}
	if v.kept.ID != "" {
		p.ID = v.kept.ID
	}
	if v.kept.Session != "" {
		p.Session = v.kept.Session
	}
	return p
}

// Account is a signed-in account by its DID, for request ("": the account's own pages). nil: it is not signed in for that.
func (v *Visit) Account(did, request string) *device.SignedIn {
	for i, a := range v.Accounts {
		if a.DID == did && (a.Request == "" || a.Request == request) {
			return &v.Accounts[i]
		}
	}
	return nil
}

// For are the accounts that count for an authorization request ("": for the account's own pages), each once.
func (v *Visit) For(request string) []device.SignedIn {
	var out []device.SignedIn
	for _, a := range v.Accounts {
		if (a.Request == "" || a.Request == request) && !slices.ContainsFunc(out, func(b device.SignedIn) bool { return a.DID == b.DID }) {
			out = append(out, a)
		}
	}
	return out
}

// Visitor is whoever looks, for acts.
func (v *Visit) Visitor() act.Visitor {
	return act.Visitor{
		Language: v.Lang, From: v.Caller.Path(), Asks: v.Caller.Asker(), Counted: v.Caller.Limited(),
		Agent: v.R.UserAgent(), Browser: v.mark(),
	}
}

// mark tells this browser from others, by the cookie that its forms carry. It is there before anybody signs in, and stays
// the same while somebody does.
func (v *Visit) mark() string {
	v.token()
	sum := sha256.Sum256([]byte("browser\x00" + v.csrf))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Owner is somebody who is signed in here, for acts.
func (v *Visit) Owner(s *device.SignedIn) act.Owner {
	return act.Owner{Account: s.Account, ProvenAt: s.Proven, Visitor: v.Visitor(), Address: v.Browser().Address, RequestID: v.Caller.RequestID()}
}

// Now is the time.
func (v *Visit) Now() time.Time { return v.frame.now() }

// Redirect sends the browser on, after a form was taken. to is a path of ours: anything else is refused.
func (v *Visit) Redirect(to string) error {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		to = "/"
	}
	v.keepNotes()
	v.W.Header().Set("Location", to)
	v.W.WriteHeader(http.StatusSeeOther)
	return nil
}

// Leave sends the browser to somebody else's address, which the caller has checked.
func (v *Visit) Leave(to *url.URL) error {
	v.W.Header().Set("Location", to.String())
	v.W.WriteHeader(http.StatusSeeOther)
	return nil
}

// secure says whether the tenant is reached over HTTPS; development servers are not.
func (v *Visit) secure() bool { return strings.HasPrefix(v.Tenant.PublicURL, "https://") }
