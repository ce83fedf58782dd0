package main

import (
	"fmt"
	"slices"
	"strings"
)

// object writes the struct of an object definition. Optional booleans, integers and objects are pointers,
// so that "absent" and "false" differ; optional texts and arrays are left out when empty or nil.
func (g *generator) object(name, id string, d *def) error {
	var nested []func() error
	fmt.Fprintf(&g.out, "type %s struct {\n", name)
	for _, p := range d.Properties {
		required := slices.Contains(d.Required, p.Name)
		field := fieldName(p.Name)
		var t string
		if p.Def.Type == "object" {
			t = name + field
			inner := p.Def
			nested = append(nested, func() error { return g.object(t, id, inner) })
		} else {
			var err error
			if t, err = g.goType(id, name+field, p.Def); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		tag := p.Name
		extra := limits(p.Def)
		switch {
		case slices.Contains(d.Nullable, p.Name):
			t = "xrpc.Nullable[" + t + "]"
			tag += ",omitzero"
		case p.Def.Default != nil: // required or not: what is absent has its default
			tag += ",omitzero"
		case required:
		case t == "bool" || t == "int64":
			t = "*" + t
			tag += ",omitzero"
			extra += ` nullable:"false"`
		case p.Def.Type == "object" || g.isObject(id, p.Def) || p.Def.Type == "union" || t == "xrpc.Blob":
			t = "*" + t
			tag += ",omitzero"
		default:
			tag += ",omitzero"
		}
		fmt.Fprintf(&g.out, "%s %s `json:%q%s`\n", field, t, tag, extra)
	}
	g.out.WriteString("}\n\n")
	for _, f := range nested {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) isObject(id string, d *def) bool {
	if d.Type != "ref" {
		return false
	}
	target := g.defs[resolve(id, d.Ref)]
	return target != nil && target.Type == "object"
}

// union writes a struct with one pointer a variant, of which at most one is set; $type decides. An open
// union keeps a variant it does not know as raw JSON.
func (g *generator) union(id, name string, d *def) (string, error) {
	if len(d.Refs) == 0 {
		return "xrpc.RawJSON", nil
	}
	name = unionName(id, name)
	variants := fmt.Sprint(d.Closed, d.Refs)
	for g.unions[name] != "" && g.unions[name] != variants {
		name += "Alt"
	}
	if g.unions[name] != "" {
		return name, nil
	}
	g.unions[name] = variants
	var fields, reading, writing, schema strings.Builder
	for _, r := range d.Refs {
		ref := resolve(id, r)
		if g.defs[ref] == nil || g.defs[ref].Type != "object" {
			return "xrpc.RawJSON", nil // unions of tokens or records: nobody here looks inside
		}
		t := g.refType(ref)
		wire := strings.TrimSuffix(ref, "#main")
		_, frag, _ := strings.Cut(ref, "#")
		field := strings.ToUpper(frag[:1]) + frag[1:]
		if frag == "main" {
			field = strings.ToUpper(t[:1]) + t[1:]
		}
		fmt.Fprintf(&fields, "%s *%s // %s\n", field, t, wire)
		fmt.Fprintf(&reading, "case %q:\nv.%s = new(%s)\nreturn xrpc.UnmarshalUnion(raw, v.%s, dec)\n", wire, field, t, field)
		fmt.Fprintf(&writing, "case v.%s != nil:\nreturn xrpc.MarshalUnion(enc, %q, v.%s)\n", field, wire, field)
		fmt.Fprintf(&schema, "xrpc.UnionVariant[%s](r, %q),\n", t, wire)
	}
	other, otherRead, otherWrite := "", "return xrpc.UnknownVariant(name)", ""
	if !d.Closed {
		other = "Other xrpc.RawJSON // a variant that is not listed, $type included\n"
		otherRead = "v.Other = xrpc.RawJSON(raw.Clone())\nreturn nil"
		otherWrite = "case v.Other != nil:\nreturn enc.WriteValue(jsontext.Value(v.Other))\n"
	}
	fmt.Fprintf(&g.tail, "// %s is a union: at most one member is set.\ntype %s struct {\n%s%s}\n\n", name, name, fields.String(), other)
	fmt.Fprintf(&g.tail, "func (v *%s) UnmarshalJSONFrom(dec *jsontext.Decoder) error {\nraw, name, err := xrpc.ReadUnion(dec)\nif err != nil { return err }\nswitch name {\n%s}\n%s\n}\n\n", name, reading.String(), otherRead)
	fmt.Fprintf(&g.tail, "func (v %s) MarshalJSONTo(enc *jsontext.Encoder) error {\nswitch {\n%s%s}\nreturn xrpc.ErrEmptyUnion\n}\n\n", name, writing.String(), otherWrite)
	fmt.Fprintf(&g.tail, "func (%s) Schema(r huma.Registry) *huma.Schema {\nreturn xrpc.UnionSchema(\n%s)\n}\n\n", name, schema.String())
	return name, nil
}

// unionName shortens the name of the place where the union stands: repoApplyWrites + InputBody + Writes +
// Item becomes repoApplyWritesWrite.
func unionName(id, place string) string {
	field := strings.TrimPrefix(place, goName(id))
	field = strings.TrimPrefix(strings.TrimPrefix(field, "InputBody"), "OutputBody")
	if one, isItem := strings.CutSuffix(field, "Item"); isItem {
		field = strings.TrimSuffix(one, "s")
	}
	return goName(id) + field
}

// goName is the mechanical name of a method or document: com.atproto.repo.createRecord → repoCreateRecord,
// com.atproto.server.defs → serverDefs. Ours say so, because com.atproto may have the same names one day:
// org.auroralocus.server.getUsage → locusServerGetUsage.
func goName(id string) string {
	parts := strings.Split(id, ".")
	group, last := parts[len(parts)-2], parts[len(parts)-1]
	if strings.HasPrefix(id, "org.auroralocus.") {
		group = "locus" + strings.ToUpper(group[:1]) + group[1:]
	}
	return group + strings.ToUpper(last[:1]) + last[1:]
}

var initialisms = map[string]string{"did": "DID", "uri": "URI", "cid": "CID", "url": "URL", "id": "ID", "nsid": "NSID"}

// fieldName is the exported Go name of a property: didDoc → DIDDoc, repoCommit → RepoCommit.
func fieldName(s string) string {
	s = strings.TrimPrefix(s, "$")
	cut := strings.IndexFunc(s, func(r rune) bool { return r >= 'A' && r <= 'Z' })
	first, rest := s, ""
	if cut > 0 {
		first, rest = s[:cut], s[cut:]
	}
	if up, ok := initialisms[first]; ok {
		return up + rest
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
