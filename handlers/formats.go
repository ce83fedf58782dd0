package handlers

import (
	"errors"
	"reflect"

	"github.com/bluesky-social/indigo/atproto/syntax"
	"github.com/danielgtaylor/huma/v2"
	"github.com/ipfs/go-cid"
)

// The lexicon's string formats. Each is checked where it comes in: as a query parameter by Resolve, in a
// JSON body by UnmarshalText, so a handler never sees one that is malformed. Absent optional ones are "".
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

// format is what one string format says: its name in the lexicon, its longest text in bytes, its check.
type format struct {
	name  string
	what  string // for the message: "must be a valid …"
	max   int
	check func(string) error
}

func parsed[T any](parse func(string) (T, error)) func(string) error {
	return func(s string) error { _, err := parse(s); return err }
}

var (
	didFormat          = &format{"did", "DID", 2048, parsed(syntax.ParseDID)}
	handleFormat       = &format{"handle", "handle", 253, parsed(syntax.ParseHandle)}
	atIdentifierFormat = &format{"at-identifier", "handle or DID", 2048, parsed(syntax.ParseAtIdentifier)}
	nsidFormat         = &format{"nsid", "NSID", 317, parsed(syntax.ParseNSID)}
	atURIFormat        = &format{"at-uri", "at:// URI", 8192, parsed(syntax.ParseATURI)}
	cidFormat          = &format{"cid", "CID", 256, parsed(cid.Decode)} // the syntax alone would take any word
	tidFormat          = &format{"tid", "TID", 13, parsed(syntax.ParseTID)}
	recordKeyFormat    = &format{"record-key", "record key", 512, parsed(syntax.ParseRecordKey)}
	datetimeFormat     = &format{"datetime", "datetime (RFC 3339 with a time zone)", 64, parsed(syntax.ParseDatetime)}
	uriFormat          = &format{"uri", "URI", 8192, parsed(syntax.ParseURI)}
	languageFormat     = &format{"language", "language tag", 128, parsed(syntax.ParseLanguage)}
)

// errFormat is a text that is not of its format. It never holds the text.
type errFormat struct{ what string }

func (e *errFormat) Error() string { return "must be a valid " + e.what }

func (f *format) text(dst *string, b []byte) error {
	if len(b) > f.max || f.check(string(b)) != nil {
		return &errFormat{f.what}
	}
	*dst = string(b)
	return nil
}

// resolve runs after Huma has filled in a parameter; "" is an absent one.
func (f *format) resolve(s string, at *huma.PathBuffer) []error {
	if s == "" || len(s) <= f.max && f.check(s) == nil {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: at.String(), Message: (&errFormat{f.what}).Error()}}
}

func (f *format) schema() *huma.Schema {
	one := 1
	return &huma.Schema{Type: huma.TypeString, Format: f.name, MinLength: &one, MaxLength: &f.max}
}

func (v *DID) UnmarshalText(b []byte) error          { return didFormat.text((*string)(v), b) }
func (v *Handle) UnmarshalText(b []byte) error       { return handleFormat.text((*string)(v), b) }
func (v *AtIdentifier) UnmarshalText(b []byte) error { return atIdentifierFormat.text((*string)(v), b) }
func (v *NSID) UnmarshalText(b []byte) error         { return nsidFormat.text((*string)(v), b) }
func (v *AtURI) UnmarshalText(b []byte) error        { return atURIFormat.text((*string)(v), b) }
func (v *CID) UnmarshalText(b []byte) error          { return cidFormat.text((*string)(v), b) }
func (v *TID) UnmarshalText(b []byte) error          { return tidFormat.text((*string)(v), b) }
func (v *RecordKey) UnmarshalText(b []byte) error    { return recordKeyFormat.text((*string)(v), b) }
func (v *Datetime) UnmarshalText(b []byte) error     { return datetimeFormat.text((*string)(v), b) }
func (v *URI) UnmarshalText(b []byte) error          { return uriFormat.text((*string)(v), b) }
func (v *Language) UnmarshalText(b []byte) error     { return languageFormat.text((*string)(v), b) }

func (v *DID) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return didFormat.resolve(string(*v), at)
}
func (v *Handle) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return handleFormat.resolve(string(*v), at)
}
func (v *AtIdentifier) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return atIdentifierFormat.resolve(string(*v), at)
}
func (v *NSID) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return nsidFormat.resolve(string(*v), at)
}
func (v *AtURI) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return atURIFormat.resolve(string(*v), at)
}
func (v *CID) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return cidFormat.resolve(string(*v), at)
}
func (v *TID) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return tidFormat.resolve(string(*v), at)
}
func (v *RecordKey) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return recordKeyFormat.resolve(string(*v), at)
}
func (v *Datetime) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return datetimeFormat.resolve(string(*v), at)
}
func (v *URI) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return uriFormat.resolve(string(*v), at)
}
func (v *Language) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return languageFormat.resolve(string(*v), at)
}

func (DID) Schema(huma.Registry) *huma.Schema          { return didFormat.schema() }
func (Handle) Schema(huma.Registry) *huma.Schema       { return handleFormat.schema() }
func (AtIdentifier) Schema(huma.Registry) *huma.Schema { return atIdentifierFormat.schema() }
func (NSID) Schema(huma.Registry) *huma.Schema         { return nsidFormat.schema() }
func (AtURI) Schema(huma.Registry) *huma.Schema        { return atURIFormat.schema() }
func (CID) Schema(huma.Registry) *huma.Schema          { return cidFormat.schema() }
func (TID) Schema(huma.Registry) *huma.Schema          { return tidFormat.schema() }
func (RecordKey) Schema(huma.Registry) *huma.Schema    { return recordKeyFormat.schema() }
func (Datetime) Schema(huma.Registry) *huma.Schema     { return datetimeFormat.schema() }
func (URI) Schema(huma.Registry) *huma.Schema          { return uriFormat.schema() }
func (Language) Schema(huma.Registry) *huma.Schema     { return languageFormat.schema() }

// absent is the answer of a generated check to a required member that is not there.
func absent(at *huma.PathBuffer, name string) []error {
	return []error{&huma.ErrorDetail{Location: at.With(name), Message: "is required"}}
}

// goKind names what a member must be, for a member that is something else.
func goKind(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Int64, reflect.Int32:
		return "an integer"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "of another type"
}

var errEmptyUnion = errors.New("union without a member")
