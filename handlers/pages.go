package handlers

import (
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/openapi"
)

// pages are the routes outside /xrpc/.
func pages(g *xrpc.Group) {
	fixedPage(g, "/{$}", "text/plain; charset=utf-8", func() []byte { return []byte(banner) })
	fixedPage(g, "/robots.txt", "text/plain; charset=utf-8", func() []byte { return []byte(robots) })
	fixedPage(g, "/openapi.json", "application/json", g.JSON)
	fixedPage(g, "/openapi.yaml", "application/yaml", openapi.YAML)
	fixedPage(g, "/docs", "text/html; charset=utf-8", openapi.Page)
}

const banner = `Aurora Locus

This is an AT Protocol personal data server.

  Most of the API is under  /xrpc/
  Documentation             /docs
  The same for machines     /openapi.json
  The protocol              https://atproto.com
`

const robots = `# Everything here is public data of the AT Protocol. To follow it, use the
# firehose (com.atproto.sync.subscribeRepos) instead of crawling pages.
User-agent: *
Allow: /
`

// fixedPage serves bytes that never change.
func fixedPage(g *xrpc.Group, pattern, contentType string, content func() []byte) {
	xrpc.Page(g, "GET "+pattern, func(_ xrpc.Visitor, w http.ResponseWriter, _ *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("X-Content-Type-Options", "nosniff")
		if contentType == "text/html; charset=utf-8" {
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			h.Set("Referrer-Policy", "no-referrer")
		}
		h.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(content())
		return nil
	})
}
