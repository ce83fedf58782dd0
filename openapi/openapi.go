// Package openapi holds the interface's document as it is committed, and the page that shows it. The document
// is made from the methods registered in handlers: the test there writes it with -update.
package openapi

import _ "embed"

//go:embed openapi.yaml
var yaml []byte

//go:embed docs.html
var page []byte

// YAML is the committed document.
func YAML() []byte { return yaml }

// Page is the documentation page: one file, nothing loaded from elsewhere but /openapi.json of the same host.
func Page() []byte { return page }
