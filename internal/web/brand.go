package web

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
)

// Brand is what a page shows of the tenant, in the reader's language.
type Brand struct {
	Name  string
	Logo  string // URL; "": none
	Links []Link
}

// Link leads to a page of the tenant's operator.
type Link struct{ Text, URL, Rel string }

// look is what a tenant's pages look like, at one revision of it.
type look struct {
	revision   int64
	settings   *tenant.Settings
	host       string
	style      template.HTML
	styleHash  string
	logoOrigin string
}

// look is made once for each revision of a tenant.
func (f *Frame) look(t *tenant.Tenant) *look {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.looks[t.ID]; l != nil && l.revision == t.Revision {
		return l
	}
	l := lookOf(t)
	f.looks[t.ID] = l
	return l
}

func lookOf(t *tenant.Tenant) *look {
	l := &look{revision: t.Revision, settings: &t.Settings, host: t.Hostname}
	css := colours(&t.Settings)
	l.style = template.HTML("<style>" + css + "</style>") // names and #rrggbb of ours
	sum := sha256.Sum256([]byte(css))
	l.styleHash = "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if u, err := url.Parse(t.Settings.LogoURL); err == nil && u.Host != "" {
		l.logoOrigin = u.Scheme + "://" + u.Host
	}
	return l
}

// Colours of a tenant that chose none.
const (
	defaultBrand   = "#1f4b99"
	defaultError   = "#b3261e"
	defaultWarning = "#9a6200"
	defaultInfo    = "#2563a8"
	defaultSuccess = "#1d7a4c"
	defaultLight   = "#f6f3ec"
	defaultDark    = "#14161c"
)

func colour(chosen, otherwise string) rgb {
	if c, ok := parseColor(chosen); ok {
		return c
	}
	c, _ := parseColor(otherwise)
	return c
}

// colours are the variables of page.css that depend on the tenant, for light and dark. What is read is made readable: the
// tenant's colours give the hue.
func colours(s *tenant.Settings) string {
	brand := colour(s.BrandColor, defaultBrand)
	text := on(brand)
	if c, ok := parseColor(s.BrandTextColor); ok && contrast(c, brand) >= 4.5 {
		text = c
	}
	side := func(page, card, ink rgb) string {
		var b strings.Builder
		set := func(name string, c rgb) { fmt.Fprintf(&b, "--%s:%s;", name, c) }
		set("page", page)
		set("card", card)
		set("ink", ink)
		set("soft", legible(card.mix(ink, 0.62), 4.5, page, card, card.mix(brand, 0.07)))
		set("line", card.mix(ink, 0.16))
		set("edge", legible(card.mix(ink, 0.4), 3, card, page)) // of what is entered: 3:1
		set("brand", brand)
		set("on-brand", text)
		set("accent", legible(brand, 4.5, card, page, card.mix(brand, 0.07)))
		set("glow", page.mix(brand, 0.14))
		set("wash", card.mix(brand, 0.07))
		for _, k := range []struct{ name, chosen, otherwise string }{
			{"error", s.ErrorColor, defaultError}, {"warning", s.WarningColor, defaultWarning},
			{"info", s.InfoColor, defaultInfo}, {"success", s.SuccessColor, defaultSuccess},
		} {
			c := colour(k.chosen, k.otherwise)
			tint := card.mix(c, 0.1)
			set(k.name, legible(c, 4.5, card, page, tint))
			set(k.name+"-tint", tint)
			set(k.name+"-fill", c)
			set("on-"+k.name, on(c))
		}
		return b.String()
	}
	light := colour(s.BackgroundLight, defaultLight)
	dark := colour(s.BackgroundDark, defaultDark)
	day := side(light, light.mix(white, 0.75), rgb{0.11, 0.125, 0.16})
	night := side(dark, dark.mix(white, 0.045), rgb{0.925, 0.92, 0.9})
	return ":root{" + day + "}@media (prefers-color-scheme:dark){:root{" + night + "}}"
}

// brand is the tenant in a language.
func (l *look) brand(lang string) *Brand {
	s := l.settings
	b := &Brand{Name: cmp.Or(s.DisplayName, l.host), Logo: s.LogoURL}
	add := func(text, url, rel string) {
		if url != "" {
			b.Links = append(b.Links, Link{text, url, rel})
		}
	}
	add(Text(lang, "link.home"), s.HomeURL, "")
	add(Text(lang, "link.help"), s.SupportURL, "help")
	add(Text(lang, "link.terms"), s.TermsOfServiceURL, "terms-of-service")
	add(Text(lang, "link.privacy"), s.PrivacyPolicyURL, "privacy-policy")
	for _, link := range s.Links() {
		add(link.TitleIn(lang), link.Href, link.Rel)
	}
	return b
}
