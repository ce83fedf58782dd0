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
	SettleHeaders(h, v.secure())
	h.Set("Cross-Origin-Embedder-Policy", "credentialless")
	h.Add("Vary", "Accept-Language, Cookie")
	// What a page holds is secret, and how well it compresses beside what others put into it would tell of that.
	h.Set(gzhttp.HeaderNoCompression, "1")
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
