package handlers

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"

	"github.com/auroralocus/locus/internal/xrpc"
	"github.com/auroralocus/locus/openapi"
)

// docsPolicy lets the documentation load its own scripts and the document, and search in a worker. Redoc writes its styles
// into the page.
const docsPolicy = "script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; worker-src blob:"

// docsPages serve the documentation: one page, its scripts, nothing of other hosts.
func docsPages(g *xrpc.Group) {
	for path, file := range map[string]string{"/docs": "index.html", "/docs/start.js": "start.js", "/docs/redoc.standalone.js": "redoc.standalone.js"} {
		contentType := "text/javascript; charset=utf-8"
		if file == "index.html" {
			contentType = "text/html; charset=utf-8"
		}
		content := openapi.Docs(file)
		packed := sync.OnceValue(func() []byte { return pack(content) })
		xrpc.Page(g, "GET "+path, func(_ xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
			h := w.Header()
			h.Set("Content-Type", contentType)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "public, max-age=3600")
			h.Add("Vary", "Accept-Encoding")
			secure(h, docsPolicy)
			if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				h.Set("Content-Encoding", "gzip")
				_, _ = w.Write(packed())
				return nil
			}
			_, _ = w.Write(content)
			return nil
		})
	}
}

// pack compresses what never changes, once.
func pack(content []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(content) // into memory
	_ = w.Close()
	return b.Bytes()
}
