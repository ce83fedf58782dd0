package account

import (
	"encoding/base64"
	"net/url"
	"slices"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// appsPage is what the page of connected apps shows.
type appsPage struct {
	All []shownApp
}

// shownApp is a client that uses the account.
type shownApp struct {
	oauth.App
	Title string // its host: names are whatever a client calls itself
	Key   string // its name in forms
	May   []string
}

func appsData(l *look) (any, error) {
	var key []byte
	if l.Device != nil {
		key = l.Device.Key
	}
	apps, err := l.pages.acts.ListApps(l.R.Context(), l.Tenant, l.owner.AID, key)
	if err != nil {
		return nil, err
	}
	p := new(appsPage)
	for _, a := range apps {
		p.All = append(p.All, shownApp{a, hostOf(a.ClientID), base64.RawURLEncoding.EncodeToString(a.ID), l.may(scope.Parse(a.Granted))})
	}
	return p, nil
}

// hostOf is where a client lives: of its name nobody knows whether it is true.
func hostOf(clientID string) string {
	if u, err := url.Parse(clientID); err == nil && u.Host != "" {
		return u.Host
	}
	return clientID
}

// may says in words what scopes allow, as the page did where they were granted.
func (l *look) may(s scope.Set) []string {
	var out []string
	for _, g := range s.Groups(nil) {
		name := string(g.Kind)
		var args []any
		switch {
		case g.Kind == scope.KindSet && g.Set != nil:
			args = []any{"nsid", g.Set.NSID}
		case g.Kind == scope.KindRecords && slices.ContainsFunc(g.Records, func(r scope.RecordDetail) bool { return r.Collection == "*" }):
			name += "_all"
		case g.Manage:
			name += "_manage"
		case g.Kind == scope.KindAccount && g.Strong:
			name += "_manage"
		case g.Kind == scope.KindIdentity && slices.Contains(g.Parts, "*"):
			name += "_all"
		}
		out = append(out, l.Say("signin.group."+name, args...))
	}
	return out
}

func endApp(l *look) error {
	id, err := base64.RawURLEncoding.DecodeString(l.Form.Get("app"))
	if err != nil {
		return act.ErrNoApp
	}
	if err := l.pages.acts.EndApp(l.R.Context(), l.Tenant, l.owner, id); err != nil {
		return err
	}
	return l.done("app.ended")
}

func endApps(l *look) error {
	if _, err := l.pages.acts.EndApps(l.R.Context(), l.Tenant, l.owner); err != nil {
		return err
	}
	return l.done("apps.ended")
}

func oauthOnly(l *look) error      { return l.oauthOnly(true, "oauth.on") }
func passwordToApps(l *look) error { return l.oauthOnly(false, "oauth.off") }

func (l *look) oauthOnly(on bool, done string) error {
	if err := l.pages.acts.SetOAuthOnly(l.R.Context(), l.Tenant, l.owner, l.proof(), on); err != nil {
		return err
	}
	return l.done(done)
}
