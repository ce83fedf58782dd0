package lexicon

import "github.com/bluesky-social/indigo/atproto/atdata"

// tree checks a value of the data model, as dagcbor.Decode makes it.
func (s *schema) tree(v any) error {
	switch v := v.(type) {
	case string:
		if s.kind == isString {
			return s.string(v)
		}
	case int64:
		if s.kind == isInteger {
			return s.integer(v)
		}
	case bool:
		if s.kind == isBoolean {
			return s.boolean(v)
		}
	case map[string]any:
		switch s.kind {
		case isObject:
			return s.treeObject(v)
		case isUnion:
			return s.treeUnion(v)
		case isUnknown:
			return nil
		}
	case []any:
		if s.kind == isArray {
			return s.treeArray(v)
		}
	case atdata.Blob:
		if s.kind == isBlob {
			return s.blob(v.MimeType, v.Size)
		}
	case atdata.CIDLink:
		if s.kind == isLink {
			return nil
		}
	case atdata.Bytes:
		if s.kind == isBytes {
			if !s.text.holds(len(v)) {
				return s.length("bytes", s.text)
			}
			return nil
		}
	}
	return s.mustBe()
}

// spec: lexicon#object
func (s *schema) treeObject(m map[string]any) error {
	for i := range s.members {
		p := &s.members[i]
		v, ok := m[p.name]
		switch {
		case !ok && p.required:
			return in(p.name, wrong(errRequired))
		case !ok, v == nil && p.nullable:
			continue
		}
		if err := p.schema.tree(v); err != nil {
			return in(p.name, err)
		}
	}
	return nil
}

func (s *schema) treeArray(list []any) error {
	if !s.text.holds(len(list)) {
		return s.length("elements", s.text)
	}
	for i, v := range list {
		if err := s.items.tree(v); err != nil {
			return inElement(i, err)
		}
	}
	return nil
}

func (s *schema) treeUnion(m map[string]any) error {
	name, ok := m["$type"].(string)
	if !ok {
		return s.mustBe()
	}
	v, err := s.variant(name)
	if v == nil {
		return err
	}
	return v.tree(m)
}
