package handlers

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

//go:embed home.html
var homeHTML string

var homeTemplate = template.Must(template.New("home").Parse(homeHTML))

// Colours of a tenant that set none.
const (
	defaultBrand     = "#1f4b99"
	defaultBrandText = "#ffffff"
)

// home is what the page at / says of a tenant.
type home struct {
	Name, What, Signup, Origin string
	Color, TextColor           template.CSS // the settings take #rrggbb only
	Logo                       string
	Domains                    []string
	Links                      []homeLink
	Away                       string // why nothing else is served; "": it is
}

type homeLink struct{ Text, URL string }

func homeOf(t *tenant.Tenant) home {
	s := &t.Settings
	h := home{
		Name: cmp.Or(s.DisplayName, t.Hostname), Origin: t.PublicURL, Logo: s.LogoURL, Domains: t.UserDomains(),
		Color: template.CSS(cmp.Or(s.BrandColor, defaultBrand)), TextColor: template.CSS(cmp.Or(s.BrandTextColor, defaultBrandText)),
		What: "This is a personal data server of the AT Protocol: it keeps people's accounts, posts and files, which they read and write with an app of their choice.",
	}
	switch s.Signup {
	case tenant.SignupOpen:
		h.Signup = "Anybody may open an account here."
	case tenant.SignupInvite:
		h.Signup = "Opening an account takes an invite code."
	case tenant.SignupApproval:
		h.Signup = "Anybody may ask for an account. The operator looks at each request."
	default:
		h.Signup = "This server takes no new accounts."
	}
	add := func(text, url string) {
		if url != "" {
			h.Links = append(h.Links, homeLink{text, url})
		}
	}
	add("Your account", t.PublicURL+"/account")
	add("About the operator", s.HomeURL)
	add("Help", s.SupportURL)
	if s.ContactEmail != "" {
		add("Write to "+s.ContactEmail, "mailto:"+s.ContactEmail)
	}
	add("Terms of service", s.TermsOfServiceURL)
	add("Privacy policy", s.PrivacyPolicyURL)
	add("Documentation for developers", t.PublicURL+"/docs")
	add("The protocol", "https://atproto.com")
	return h
}

// text is the page for a terminal.
func (h home) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n%s\n\n%s\n", h.Name, h.What, h.Signup)
	if len(h.Domains) > 0 {
		fmt.Fprintf(&b, "Handles end in %s.\n", strings.Join(h.Domains, ", "))
	}
	fmt.Fprintf(&b, "\n  %s/xrpc/\n    The API\n", h.Origin)
	for _, l := range h.Links {
		fmt.Fprintf(&b, "  %s\n    %s\n", l.URL, l.Text)
	}
	return b.Bytes()
}

// awayOf is the page of a tenant that is not there for people: what happened, and whom they can ask.
func awayOf(t *tenant.Tenant) home {
	h := homeOf(t)
	h.What, h.Away = "This server is paused", "The operator has switched it off for now. Your account and your data are kept. Try again later."
	if t.State == tenant.Deleting {
		h.What, h.Away = "This server is gone", "The operator has closed it. Whoever runs it can tell you more."
	}
	h.Links = slices.DeleteFunc(h.Links, func(l homeLink) bool {
		return l.URL == t.PublicURL+"/account" || l.URL == t.PublicURL+"/docs"
	})
	return h
}

// homePage answers at /: a page for browsers, plain text for others. Of a tenant that is not there for people, only browsers
// are told on a page.
func homePage(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	page, status, cached, h := homeOf(v.Tenant), http.StatusOK, "public, max-age=60", w.Header() // settings change
	browser := strings.Contains(r.Header.Get("Accept"), "text/html")
	h.Add("Vary", "Accept")
	if err := v.Away(); err != nil {
		if !browser {
			return err
		}
		cached = "no-store"
		page, status = awayOf(v.Tenant), http.StatusServiceUnavailable
		if v.Tenant.State == tenant.Deleting {
			status = http.StatusGone
		}
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cached)
	if !browser {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(page.text())
		return nil
	}
	var b bytes.Buffer
	if err := homeTemplate.Execute(&b, page); err != nil {
		return err
	}
	images := "'none'"
	if logo, err := url.Parse(page.Logo); err == nil && page.Logo != "" {
		images = logo.Scheme + "://" + logo.Host
	}
	secure(h, "style-src 'unsafe-inline'; img-src "+images)
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// secure says what a page may load; everything else is refused.
func secure(h http.Header, policy string) {
	h.Set("Content-Security-Policy", "default-src 'none'; "+policy+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}
