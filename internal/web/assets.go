package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/auroralocus/locus/internal/xrpc"
)

//go:embed assets/*
var assetFiles embed.FS

// assetPath is where the files are served that pages load.
const assetPath = "/~assets/"

type asset struct {
	kind string
	body []byte
}

// Assets are files that pages load. The names under which they are served hold the hash of what is in them, so they are
// kept by browsers for good.
type Assets struct {
	byName map[string]string // page.css → page.1f2e3d4c.css
	files  map[string]asset  // by the latter
}

// ReadAssets reads those of the folder assets.
func ReadAssets(files embed.FS) Assets {
	t := Assets{map[string]string{}, map[string]asset{}}
	list, err := files.ReadDir("assets")
	if err != nil {
		panic(err)
	}
	for _, e := range list {
		b, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		ext := path.Ext(e.Name())
		sum := sha256.Sum256(b)
		named := strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[ext]
		if kind == "" {
			kind = mime.TypeByExtension(ext)
		}
		t.byName[e.Name()], t.files[named] = named, asset{kind, b}
	}
	return t
}

// Named gives the name under which a file is served.
func (t Assets) Named(name string) (named string, ok bool) {
	named, ok = t.byName[name]
	return named, ok
}

// Serve serves a file by that name, and says whether there is one.
func (t Assets) Serve(w http.ResponseWriter, named string) bool {
	a, ok := t.files[named]
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.body)
	return true
}

var assets = sync.OnceValue(func() Assets { return ReadAssets(assetFiles) })

// AssetURL is where a file of the folder assets is served. It panics when there is none: names stand in templates.
func AssetURL(name string) string {
	named, ok := assets().Named(name)
	if !ok {
		panic("no asset " + name)
	}
	return assetPath + named
}

func serveAsset(_ xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	if !assets().Serve(w, r.PathValue("name")) {
		return xrpc.Refuse(http.StatusNotFound, "NotFound", "nothing is served here")
	}
	return nil
}
