package web

import (
	"html/template"
	"net/http"
	"path"
	"strings"

	"github.com/auroralocus/locus/internal/tenant"
)

// What a frame of its own takes from this one: the dashboard of operators is under no tenant's host, and looks the same.

// Parts are the parts of pages and the functions that they use, for a layout of another room. more are functions besides.
func Parts(more template.FuncMap) *template.Template {
	return template.Must(template.New("").Funcs(templateFuncs).Funcs(more).ParseFS(frameFiles, "_parts.html"))
}

// PlainStyle is the style element of pages that are no tenant's, and its hash for the policy of what a page may load.
func PlainStyle() (style template.HTML, hash string) {
	s := tenant.Defaults()
	l := lookOf(&tenant.Tenant{Settings: s})
	return l.style, l.styleHash
}

// ServeAsset serves a file of [AssetURL] by the last part of the request's path, and says whether there is one.
func ServeAsset(w http.ResponseWriter, r *http.Request) bool {
	return assets().Serve(w, path.Base(r.URL.Path))
}

// SettleHeaders sets what every answer of a page has, under whatever host.
func SettleHeaders(h http.Header, secure bool) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Forms of a page without referrer would come from nowhere, and some steps look where they come from.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=63072000")
	}
}

// Parted is a secret in groups of four, for typing.
func Parted(secret string) string {
	var b strings.Builder
	for i, r := range secret {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
