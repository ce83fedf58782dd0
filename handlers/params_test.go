package handlers

import (
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// What the OpenAPI document says of a method's input: tests that walk over all methods make their requests from it, so
// that a new method is tested without a line more.

// param is a query parameter or a member of a body.
type param struct {
	name     string
	required bool
	array    bool
	schema   *huma.Schema // of one element
}

func (h *house) schema(s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = h.server.Document().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func (h *house) described(nsid string) *huma.Operation {
	item := h.server.Document().Paths["/xrpc/"+nsid]
	switch {
	case item == nil:
		return nil
	case item.Get != nil:
		return item.Get
	}
	return item.Post
}

// queryParams are a method's parameters.
func (h *house) queryParams(nsid string) []param {
	h.t.Helper()
	op := h.described(nsid)
	if op == nil {
		return nil
	}
	var out []param
	for _, p := range op.Parameters {
		if p.In == "query" {
			out = append(out, h.param(p.Name, p.Required, p.Schema))
		}
	}
	return out
}

// bodyParams are the members of a method's JSON body.
func (h *house) bodyParams(nsid string) []param {
	h.t.Helper()
	op := h.described(nsid)
	if op == nil || op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	s := h.schema(op.RequestBody.Content["application/json"].Schema)
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	var out []param
	for name, member := range s.Properties {
		out = append(out, h.param(name, required[name], member))
	}
	return out
}

func (h *house) param(name string, required bool, s *huma.Schema) param {
	s = h.schema(s)
	if s.Type == huma.TypeArray {
		return param{name, required, true, h.schema(s.Items)}
	}
	return param{name, required, false, s}
}

// good is a value whose form is right and that names nothing here.
func (p param) good() any {
	if len(p.schema.Enum) > 0 {
		return p.schema.Enum[0]
	}
	if d := p.schema.Discriminator; d != nil { // a union: what each of its variants may ask for
		return obj{
			"$type": slices.Sorted(maps.Keys(d.Mapping))[0], "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
			"uri": "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/" + custom + "/self", "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
		}
	}
	switch p.schema.Type {
	case huma.TypeInteger:
		return 1
	case huma.TypeBoolean:
		return true
	case huma.TypeObject, "":
		return obj{"a": 1}
	}
	switch p.schema.Format {
	case "did":
		return "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
	case "handle", "at-identifier":
		return "nobody.a.test"
	case "nsid":
		return custom
	case "at-uri":
		return "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/" + custom + "/self"
	case "cid":
		return "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	case "tid":
		return "3jqfcqzm3fo2j"
	case "record-key":
		return "self"
	case "datetime":
		return createdAt
	case "uri":
		return "https://example.com/"
	case "language":
		return "en"
	}
	return "x"
}

// goodQuery has the required parameters of a method; change adds to it or replaces, "key", value.
func (h *house) goodQuery(nsid string, change ...string) string {
	h.t.Helper()
	var kv []string
	for _, p := range h.queryParams(nsid) {
		given := false
		for i := 0; i < len(change); i += 2 {
			given = given || change[i] == p.name
		}
		if p.required && !given {
			kv = append(kv, p.name, text(p.good()))
		}
	}
	return params(append(kv, change...)...)
}

// goodBody has the required members of a method's body.
func (h *house) goodBody(nsid string) obj {
	h.t.Helper()
	in := obj{}
	for _, p := range h.bodyParams(nsid) {
		if p.required {
			if in[p.name] = p.good(); p.array {
				in[p.name] = list{}
			}
		}
	}
	return in
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return "true"
	}
	return "1"
}

// badTexts are texts that are not of a format, whatever it is, and some that are not of this one.
func badTexts(format string) []string {
	bad := []string{" ", "a b", "\x00", "\xff\xfe", "ü", strings.Repeat("x", 10_000), "'; DROP TABLE actor; --", "a\nb", "%s%n"}
	return append(bad, map[string][]string{
		"did":           {"did", "did:", "did:plc", "did:plc:", "plc:x:y", "DID:plc:x", "did:PLC:x", "alice.a.test", "did:plc:x y", "did:plc:x/y", "did:plc:x?y", "did:plc:x#y", "did:plc:%"},
		"handle":        {"a", "a.", ".a", "a..b", "-a.b", "a-.b", "a.1", "a_b.c", "did:plc:x", "a.b/c", "@a.b", strings.Repeat("a", 64) + ".b"},
		"at-identifier": {"a", "did:", "did:plc:", "a..b", "@alice.a.test"},
		"nsid":          {"a", "a.b", "a..b", ".a.b.c", "a.b.c.", "a.b.1", "1.b.c", "a.b.c-d", "a.b.c#d", "a.b.*"},
		"at-uri":        {"at://", "http://a.b", "at:did:plc:x", "at://x", "at://did:plc:x/y", "at://a.b/c.d.e/", "at://a.b/c.d.e/f/g"},
		"cid":           {"x", "bafy", "nonsense", "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2", "zb2", "Qm", "BAFYREI=", strings.Repeat("b", 300)},
		"tid":           {"x", "0", "3jqfcqzm3fo2", "3jqfcqzm3fo2jj", "zzzzzzzzzzzzz", "3JQFCQZM3FO2J", "1234567890123"},
		"record-key":    {".", "..", "a/b", "#", strings.Repeat("x", 513)},
		"datetime":      {"2026", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "yesterday"},
		"uri":           {"x", "://", "//a"},
		"language":      {"x-", "-", "english!"},
	}[format]...)
}
