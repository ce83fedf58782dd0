package handlers

import (
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/openapi"
)

// pages are the routes outside /xrpc/.
func pages(g *xrpc.Group) {
	xrpc.SaysAway(g, "/{$}")
	xrpc.Page(g, "GET /{$}", homePage)
	fixedPage(g, "/robots.txt", "text/plain; charset=utf-8", func() []byte { return []byte(robots) })
	fixedPage(g, "/openapi.json", "application/json", g.JSON)
	fixedPage(g, "/openapi.yaml", "application/yaml", openapi.YAML)
	docsPages(g)
}

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
		h.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(content())
		return nil
	})
}
