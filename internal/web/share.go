package web

import (
	"html/template"
	"net/http"
	"path"

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
	a, ok := assets().files[path.Base(r.URL.Path)]
	if ok {
		a.serve(w)
	}
	return ok
}
