package xrpc

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Words are what the document says of the methods in sentences, and the values that its examples show.
type Words struct {
	Intro  string
	Tags   map[string]string // by namespace
	Always []ErrorKind       // what every method may answer with
	Errors map[string]string // by name: when it happens; "nsid name" where a method means something else by it
	// Fields are members of bodies and parameters: "name", or "Schema.name" and "nsid.name" where one means something else.
	Fields   map[string]Field
	Examples map[string]any // whole bodies by NSID, in place of what the fields give: "nsid" the input, "nsid output"
}

// Field is what is said of a member or parameter, and the value that examples have there.
type Field struct {
	Text    string
	Example any // nil: made from the schema
}

// describe writes the words into the finished document.
func (w *Words) describe(doc *huma.OpenAPI) {
	doc.Info.Description = w.Intro
	doc.Extensions = map[string]any{"x-errors": namesOf(w.Always)}
	for _, t := range doc.Tags {
		t.Description = w.Tags[t.Name]
	}
	schemas := doc.Components.Schemas.Map()
	for name, s := range schemas {
		w.members(name, s)
		for _, part := range s.AllOf {
			w.members(strings.TrimSuffix(name, "Variant"), part)
		}
	}
	e := examples{w, doc.Components.Schemas}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, op := range []*huma.Operation{doc.Paths[path].Get, doc.Paths[path].Post} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				f := w.field(op.OperationID, p.Name)
				p.Description = cmp.Or(p.Description, f.Text)
				p.Schema.Description = "" // Huma says it twice
				if p.Example == nil && p.Required {
					p.Example = e.of(p.Schema, op.OperationID, p.Name, true)
				}
			}
			if op.RequestBody != nil {
				op.RequestBody.Description = cmp.Or(op.RequestBody.Description, "What "+op.OperationID+" takes.")
				e.body(op.RequestBody.Content["application/json"], op.OperationID, true)
			}
			if ok := op.Responses["200"]; ok != nil {
				if ok.Content == nil {
					ok.Description = "Done; the body is empty."
				} else {
					ok.Description = "Done."
				}
				e.body(ok.Content["application/json"], op.OperationID+" output", false)
			}
		}
	}
}

// members describes the members of a component that the types themselves say nothing of.
func (w *Words) members(component string, s *huma.Schema) {
	for name, m := range s.Properties {
		m.Description = cmp.Or(m.Description, w.field(component, name).Text)
	}
	if s.Properties["validate"] != nil {
		// ogen gives its types a method Validate, which a member of that name would clash with.
		s.Extensions = map[string]any{"x-ogen-properties": map[string]any{"validate": map[string]any{"name": "ValidateRecord"}}}
	}
}

func (w *Words) field(of, name string) Field {
	if f, ok := w.Fields[of+"."+name]; ok {
		return f
	}
	return w.Fields[name]
}

// When says when a method answers with an error.
func (w *Words) When(nsid, name string) string {
	return cmp.Or(w.Errors[nsid+" "+name], w.Errors[name])
}

// examples makes the example of a body from those of its members.
type examples struct {
	words   *Words
	schemas huma.Registry
}

func (e examples) body(m *huma.MediaType, key string, input bool) {
	if m == nil || m.Schema == nil {
		return
	}
	if x, ok := e.words.Examples[key]; ok {
		m.Example = x
		return
	}
	m.Example = e.of(m.Schema, key, "", input)
}

// of is a value of a schema. Of an input it has what is required, of an output everything.
func (e examples) of(s *huma.Schema, component, name string, input bool) any {
	if f := e.words.field(component, name); f.Example != nil && name != "" {
		if _, list := f.Example.([]any); s.Type == huma.TypeArray && !list {
			return []any{f.Example}
		}
		return f.Example
	}
	if s.Ref != "" {
		return e.of(e.schemas.SchemaFromRef(s.Ref), strings.TrimPrefix(s.Ref, schemaPrefix), "", input)
	}
	switch {
	case len(s.OneOf) > 0:
		return e.of(s.OneOf[0], component, name, input)
	case len(s.AllOf) > 0:
		all := map[string]any{}
		for _, part := range s.AllOf {
			if m, ok := e.of(part, component, "", input).(map[string]any); ok {
				maps.Copy(all, m)
			}
		}
		return all
	case len(s.Enum) > 0:
		return s.Enum[0]
	}
	switch s.Type {
	case huma.TypeObject:
		o := map[string]any{}
		for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
			if !input || slices.Contains(s.Required, member) {
				o[member] = e.of(s.Properties[member], component, member, input)
			}
		}
		return o
	case huma.TypeArray:
		return []any{e.of(s.Items, component, name, input)}
	case huma.TypeInteger:
		return 1
	case huma.TypeBoolean:
		return true
	case "":
		return map[string]any{}
	}
	return e.words.Fields["format "+s.Format].Example
}
