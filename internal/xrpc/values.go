package xrpc

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// RawJSON is a value whose inside is not the frame's business: a record, a DID document. It is syntactically
// valid JSON without duplicate names; dagcbor.FromJSON reads records from it.
type RawJSON []byte

func (v *RawJSON) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err == nil {
		*v = append((*v)[:0], raw...) // the decoder's buffer goes back to a pool
	}
	return err
}

func (v RawJSON) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteValue(jsontext.Value(v))
}

func (RawJSON) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

// Bytes is {"$bytes": base64}.
// spec: data-model#bytes
type Bytes []byte

type bytesJSON struct {
	Bytes string `json:"$bytes"`
}

func (v *Bytes) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var b bytesJSON
	if err := json.UnmarshalDecode(dec, &b); err != nil {
		return err
	}
	for len(b.Bytes) > 0 && b.Bytes[len(b.Bytes)-1] == '=' {
		b.Bytes = b.Bytes[:len(b.Bytes)-1]
	}
	raw, err := base64.RawStdEncoding.DecodeString(b.Bytes)
	if err != nil {
		return errors.New("not base64 text")
	}
	*v = raw
	return nil
}

func (v Bytes) MarshalJSONTo(enc *jsontext.Encoder) error {
	return json.MarshalEncode(enc, bytesJSON{base64.RawStdEncoding.EncodeToString(v)})
}

func (Bytes) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Required: []string{"$bytes"}, Properties: map[string]*huma.Schema{
		"$bytes": {Type: huma.TypeString, ContentEncoding: "base64"},
	}}
}

// Blob is a reference to a blob, as uploadBlob answers and records hold it.
// spec: data-model#blob-type
type Blob struct {
	Type     string  `json:"$type"` // always "blob"
	Ref      CidLink `json:"ref"`
	MimeType string  `json:"mimeType"`
	Size     int64   `json:"size"`
}

type CidLink struct {
	Link CID `json:"$link"`
}

// Nullable is a member for which absent, null and a value are three things.
type Nullable[T any] struct {
	Present bool // null or a value was given
	Null    bool
	Value   T
}

func (v *Nullable[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v.Present = true
	if dec.PeekKind() == 'n' {
		v.Null = true
		_, err := dec.ReadToken()
		return err
	}
	return json.UnmarshalDecode(dec, &v.Value)
}

func (v Nullable[T]) MarshalJSONTo(enc *jsontext.Encoder) error {
	if v.Null || !v.Present {
		return enc.WriteToken(jsontext.Null)
	}
	return json.MarshalEncode(enc, &v.Value)
}

func (v Nullable[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(typeOf[T](), true, "")
	s.Nullable = true
	return s
}

// EncodedJSON lets an output hand over JSON that is already written (listRecords, getRecord): the bytes go
// out as they are, T is what the document says about them.
type EncodedJSON[T any] struct{ JSON []byte }

func (e EncodedJSON[T]) encoded() []byte { return e.JSON }

func (EncodedJSON[T]) Schema(r huma.Registry) *huma.Schema { return r.Schema(typeOf[T](), true, "") }

var (
	errNoType      = errors.New("must be an object with a $type")
	errUnknownType = errors.New("has a $type that is not allowed here")
	ErrEmptyUnion  = errors.New("union without a member")
)

// ReadUnion reads the next value whole and finds its $type.
func ReadUnion(dec *jsontext.Decoder) (raw jsontext.Value, name string, err error) {
	if raw, err = dec.ReadValue(); err != nil {
		return nil, "", err
	}
	if raw.Kind() != '{' {
		return nil, "", errNoType
	}
	var head struct {
		Type string `json:"$type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil || head.Type == "" {
		return nil, "", errNoType
	}
	return raw, head.Type, nil
}

func UnmarshalUnion(raw jsontext.Value, v any, dec *jsontext.Decoder) error {
	return json.Unmarshal(raw, v, dec.Options())
}

func UnknownVariant(string) error { return errUnknownType }

func MarshalUnion[T any](enc *jsontext.Encoder, name string, v *T) error {
	b, err := json.Marshal(v, enc.Options())
	if err != nil {
		return err
	}
	typed := append(make([]byte, 0, len(b)+len(name)+12), `{"$type":"`...)
	typed = append(append(typed, name...), '"')
	if len(b) > 2 {
		typed = append(typed, ',')
	}
	return enc.WriteValue(append(typed, b[1:]...))
}

// variant is one member of a union in the document.
type variant struct {
	name string // its $type
	ref  string // its component: the shared schema plus $type
}

// UnionVariant makes the component of a variant, its own schema plus the $type that selects it: the same
// object also stands where no $type is asked for.
func UnionVariant[T any](r huma.Registry, name string) variant {
	own := r.Schema(typeOf[T](), true, "")
	component := strings.TrimPrefix(own.Ref, schemaPrefix) + "Variant"
	if r.Map()[component] == nil {
		s := &huma.Schema{AllOf: []*huma.Schema{own, {
			Type: huma.TypeObject, Required: []string{"$type"},
			Properties: map[string]*huma.Schema{"$type": {Type: huma.TypeString, Enum: []any{name}}},
		}}}
		s.PrecomputeMessages()
		r.Map()[component] = s
	}
	return variant{name, schemaPrefix + component}
}

// UnionSchema tells variants apart by $type. Of an open union too it names the variants that this server knows: others it
// refuses or never sends, and generators make types of it.
func UnionSchema(variants ...variant) *huma.Schema {
	s := &huma.Schema{}
	s.Discriminator = &huma.Discriminator{PropertyName: "$type", Mapping: map[string]string{}}
	for _, v := range variants {
		s.OneOf = append(s.OneOf, &huma.Schema{Ref: v.ref})
		s.Discriminator.Mapping[v.name] = v.ref
	}
	return s
}
