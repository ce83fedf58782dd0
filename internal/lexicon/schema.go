package lexicon

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/syntax"
)

// def is one definition of a lexicon document, of any type: what a type does not have stays empty.
// spec: lexicon#overview-of-types
type def struct {
	Type         string         `json:"type"`
	Key          string         `json:"key"`
	Record       *def           `json:"record"`
	Parameters   *def           `json:"parameters"`
	Input        *body          `json:"input"`
	Required     []string       `json:"required"`
	Nullable     []string       `json:"nullable"`
	Properties   properties     `json:"properties"`
	Items        *def           `json:"items"`
	Ref          string         `json:"ref"`
	Refs         []string       `json:"refs"`
	Closed       bool           `json:"closed"`
	Format       string         `json:"format"`
	Default      jsontext.Value `json:"default"`
	Const        jsontext.Value `json:"const"`
	Enum         jsontext.Value `json:"enum"`
	Minimum      *int64         `json:"minimum"`
	Maximum      *int64         `json:"maximum"`
	MinLength    *int           `json:"minLength"`
	MaxLength    *int           `json:"maxLength"`
	MinGraphemes *int           `json:"minGraphemes"`
	MaxGraphemes *int           `json:"maxGraphemes"`
	Accept       []string       `json:"accept"`
	MaxSize      *int64         `json:"maxSize"`
}

type body struct {
	Encoding string `json:"encoding"`
	Schema   *def   `json:"schema"`
}

// properties keep the document's order: what is wrong is found in the same order every time.
type properties []property

type property struct {
	name string
	def  *def
}

func (p *properties) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		one := property{name: name.String(), def: new(def)}
		if err := json.UnmarshalDecode(dec, one.def); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	_, err := dec.ReadToken()
	return err
}

// kind is a type of values.
type kind uint8

const (
	isBoolean kind = iota + 1
	isInteger
	isString
	isBytes
	isLink
	isBlob
	isArray
	isObject
	isUnion
	isUnknown
	isToken
)

// schema is a definition of values, ready for use. References are pointers already.
type schema struct {
	kind kind

	format *syntax.Format
	text   bounds // bytes of a string or of bytes, elements of an array
	seen   bounds // graphemes
	texts  []string
	number bounds64
	ints   []int64
	truth  *bool

	items    *schema
	members  []member
	variants map[string]*schema
	closed   bool
	accept   []string
	maxSize  int64 // 0: any
}

type member struct {
	name     string
	schema   *schema
	required bool // and without a default
	nullable bool
}

// bounds are of a length; max -1 is none.
type bounds struct{ min, max int }

func (b bounds) none() bool         { return b.min == 0 && b.max < 0 }
func (b bounds) holds(n int) bool   { return n >= b.min && (b.max < 0 || n <= b.max) }
func boundsOf(min, max *int) bounds { return bounds{or(min, 0), or(max, -1)} }

type bounds64 struct{ min, max *int64 }

func or[T any](p *T, other T) T {
	if p == nil {
		return other
	}
	return *p
}

// linker makes schemas of definitions. A definition that others refer to is made once; it may refer to itself.
type linker struct {
	defs map[string]*def    // by full reference
	made map[string]*schema // by full reference
}

// full is a reference as written in document id with everything in it: "nsid#name".
func full(id, ref string) string {
	switch {
	case strings.HasPrefix(ref, "#"):
		return id + ref
	case !strings.Contains(ref, "#"):
		return ref + "#main"
	}
	return ref
}

func (l *linker) reference(ref string) (*schema, error) {
	if s := l.made[ref]; s != nil {
		return s, nil
	}
	d := l.defs[ref]
	if d == nil {
		return nil, fmt.Errorf("reference %s leads nowhere", ref)
	}
	if d.Type == "record" {
		d = d.Record
	}
	s := new(schema)
	l.made[ref] = s
	id, _, _ := strings.Cut(ref, "#")
	if err := l.fill(s, id, d); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return s, nil
}

// schema is that of a definition inside a document.
func (l *linker) schema(id string, d *def) (*schema, error) {
	if d == nil {
		return nil, fmt.Errorf("no definition")
	}
	if d.Type == "ref" {
		return l.reference(full(id, d.Ref))
	}
	s := new(schema)
	return s, l.fill(s, id, d)
}

func (l *linker) fill(s *schema, id string, d *def) (err error) {
	if d == nil {
		return fmt.Errorf("no definition")
	}
	s.text, s.seen = boundsOf(d.MinLength, d.MaxLength), boundsOf(d.MinGraphemes, d.MaxGraphemes)
	switch d.Type {
	case "boolean":
		s.kind = isBoolean
		if d.Const != nil {
			s.truth = new(bool)
			err = json.Unmarshal(d.Const, s.truth)
		}
	case "integer":
		s.kind, s.number = isInteger, bounds64{d.Minimum, d.Maximum}
		s.ints, err = allowed[int64](d)
	case "string":
		s.kind = isString
		if s.texts, err = allowed[string](d); err == nil && d.Format != "" {
			if s.format = syntax.Named(d.Format); s.format == nil {
				err = fmt.Errorf("unknown string format %q", d.Format)
			}
		}
	case "bytes":
		s.kind = isBytes
	case "cid-link":
		s.kind = isLink
	case "token":
		s.kind = isToken
	case "unknown":
		s.kind = isUnknown
	case "blob":
		s.kind, s.accept, s.maxSize = isBlob, d.Accept, or(d.MaxSize, 0)
	case "array":
		s.kind = isArray
		s.items, err = l.schema(id, d.Items)
	case "union":
		err = l.union(s, id, d)
	case "object", "params":
		err = l.object(s, id, d)
	default:
		err = fmt.Errorf("type %q is not one of values", d.Type)
	}
	return err
}

// allowed are the values that const or enum names, nil for any.
func allowed[T any](d *def) ([]T, error) {
	if d.Const != nil {
		one := make([]T, 1)
		return one, json.Unmarshal(d.Const, &one[0])
	}
	if d.Enum == nil {
		return nil, nil
	}
	var all []T
	return all, json.Unmarshal(d.Enum, &all)
}

func (l *linker) union(s *schema, id string, d *def) error {
	s.kind, s.closed, s.variants = isUnion, d.Closed, make(map[string]*schema, len(d.Refs))
	if d.Closed && len(d.Refs) == 0 {
		return fmt.Errorf("a closed union without a variant")
	}
	for _, r := range d.Refs {
		ref := full(id, r)
		v, err := l.reference(ref)
		if err != nil {
			return err
		}
		s.variants[strings.TrimSuffix(ref, mainSuffix)] = v
	}
	return nil
}

func (l *linker) object(s *schema, id string, d *def) error {
	s.kind = isObject
	at := map[string]int{}
	for i, p := range d.Properties {
		v, err := l.schema(id, p.def)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		s.members = append(s.members, member{name: p.name, schema: v})
		at[p.name] = i
	}
	for _, name := range d.Required {
		i, ok := at[name]
		if !ok {
			return fmt.Errorf("%q is required and no property", name)
		}
		s.members[i].required = d.Properties[i].def.Default == nil
	}
	for _, name := range d.Nullable {
		i, ok := at[name]
		if !ok {
			return fmt.Errorf("%q is nullable and no property", name)
		}
		s.members[i].nullable = true
	}
	return nil
}

// member is the number of a member, -1 if the object has none of this name.
func (s *schema) member(name string) int {
	for i := range s.members {
		if s.members[i].name == name {
			return i
		}
	}
	return -1
}
