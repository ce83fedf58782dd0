// Package openapi holds the interface's document as it is committed, and the pages that show it. The document
// is made from the methods registered in handlers: the test there writes it with -update.
package openapi

import "embed"

//go:embed openapi.yaml
var yaml []byte

//go:embed docs/index.html docs/start.js docs/redoc.standalone.js
var docs embed.FS

// YAML is the committed document.
func YAML() []byte { return yaml }

// Docs is a file of the documentation: index.html, start.js or redoc.standalone.js. They load nothing from other hosts.
func Docs(name string) []byte {
	b, err := docs.ReadFile("docs/" + name)
	if err != nil {
		panic("openapi: " + err.Error()) // the names are constants
	}
	return b
}
