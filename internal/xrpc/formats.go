package xrpc

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/auroralocus/locus/internal/syntax"
)

// The lexicon's string formats. A handler never sees one that is malformed: the gate holds parameters and bodies against
// the lexicon before anything else reads them. Absent optional ones are "".
// spec: lexicon#string-formats
type (
	DID          string
	Handle       string
	AtIdentifier string // a handle or a DID
	NSID         string
	AtURI        string
	CID          string
	TID          string
	RecordKey    string
	Datetime     string
	URI          string
	Language     string
)

// formatSchema is what the document says of a format.
func formatSchema(f *syntax.Format) *huma.Schema {
	one := 1
	return &huma.Schema{Type: huma.TypeString, Format: f.Name, MinLength: &one, MaxLength: &f.Max}
}

func (DID) Schema(huma.Registry) *huma.Schema          { return formatSchema(syntax.DID) }
func (Handle) Schema(huma.Registry) *huma.Schema       { return formatSchema(syntax.Handle) }
func (AtIdentifier) Schema(huma.Registry) *huma.Schema { return formatSchema(syntax.AtIdentifier) }
func (NSID) Schema(huma.Registry) *huma.Schema         { return formatSchema(syntax.NSID) }
func (AtURI) Schema(huma.Registry) *huma.Schema        { return formatSchema(syntax.AtURI) }
func (CID) Schema(huma.Registry) *huma.Schema          { return formatSchema(syntax.CID) }
func (TID) Schema(huma.Registry) *huma.Schema          { return formatSchema(syntax.TID) }
func (RecordKey) Schema(huma.Registry) *huma.Schema    { return formatSchema(syntax.RecordKey) }
func (Datetime) Schema(huma.Registry) *huma.Schema     { return formatSchema(syntax.Datetime) }
func (URI) Schema(huma.Registry) *huma.Schema          { return formatSchema(syntax.URI) }
func (Language) Schema(huma.Registry) *huma.Schema     { return formatSchema(syntax.Language) }
