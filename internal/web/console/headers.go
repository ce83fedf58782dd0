package console

import (
	"net/http"
)

// settle sets what every answer has, before anything of it is known.
func settle(h http.Header, secure bool) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Set("Vary", "Cookie")
	h.Set("Content-Security-Policy", policy)
	if secure {
		h.Set("Strict-Transport-Security", "max-age=63072000")
	}
}

// policy says what a page may load. Everything else is refused, inline scripts above all.
var policy = "base-uri 'none'; connect-src 'self'; default-src 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self'; script-src 'self'; style-src 'self' " + styleHash
