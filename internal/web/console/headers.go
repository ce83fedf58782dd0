package console

import (
	"net/http"

	"github.com/auroralocus/locus/internal/web"
)

// settle sets what every answer has, before anything of it is known.
func settle(h http.Header, secure bool) {
	web.SettleHeaders(h, secure)
	h.Set("Vary", "Cookie")
	h.Set("Content-Security-Policy", policy)
}

// policy says what a page may load. Everything else is refused, inline scripts above all.
var policy = "base-uri 'none'; connect-src 'self'; default-src 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self'; script-src 'self'; style-src 'self' " + styleHash
