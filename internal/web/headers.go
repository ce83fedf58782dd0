package web

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// settle sets what every answer of a page has, before anything of it is known.
func (v *Visit) settle(h http.Header) {
	h.Del("Access-Control-Allow-Origin") // pages are for people
	h.Del("Access-Control-Expose-Headers")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Forms of a page without referrer would come from nowhere, and some steps look where they come from.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "credentialless")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Add("Vary", "Accept-Language, Cookie")
	// What a page holds is secret, and how well it compresses beside what others put into it would tell of that.
	h.Set(gzhttp.HeaderNoCompression, "1")
	if v.secure() {
		h.Set("Strict-Transport-Security", "max-age=63072000")
	}
}

// Allow lets this page do what the policy for all pages refuses: directive is one of the Content Security Policy.
func (v *Visit) Allow(directive string, sources ...string) {
	v.policy[directive] = append(v.policy[directive], sources...)
}

// Embeds lets this page show what another origin sends without saying that it may be shown: the boxes that tell people from
// programs.
func (v *Visit) Embeds() { v.W.Header().Del("Cross-Origin-Embedder-Policy") }

// contentPolicy says what a page may load. Everything else is refused, inline scripts above all.
func (v *Visit) contentPolicy(style string, logo string) string {
	p := map[string][]string{
		"default-src":     {"'none'"},
		"base-uri":        {"'none'"},
		"script-src":      {"'self'"},
		"style-src":       {"'self'", style},
		"connect-src":     {"'self'"},
		"img-src":         {"'self'"},
		"form-action":     {"'self'"},
		"frame-ancestors": {"'none'"},
	}
	if logo != "" {
		p["img-src"] = append(p["img-src"], logo)
	}
	for directive, sources := range v.policy {
		p[directive] = append(p[directive], sources...)
	}
	var out []string
	for _, directive := range slices.Sorted(maps.Keys(p)) {
		out = append(out, directive+" "+strings.Join(p[directive], " "))
	}
	if v.secure() {
		out = append(out, "upgrade-insecure-requests")
	}
	return strings.Join(out, "; ")
}
