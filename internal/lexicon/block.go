package lexicon

import "github.com/auroralocus/locus/repo/dagcbor"

// block checks the next item of r, a checked block of the data model, and reads it. After a violation it has read
// something of the item. An error that is no violation is one of the block.
func (s *schema) block(r *dagcbor.Reader) error {
	major := r.Major()
	switch {
	case major == dagcbor.MajorText && s.kind == isString:
		text, err := r.Text()
		if err != nil || s.takesAny() {
			return err
		}
		return s.string(string(text))
	case (major == dagcbor.MajorUint || major == dagcbor.MajorNeg) && s.kind == isInteger:
		n, err := r.Int()
		if err != nil {
			return err
		}
		return s.integer(n)
	case major == dagcbor.MajorOther && s.kind == isBoolean && !r.Null():
		v, err := r.Bool()
		if err != nil {
			return err
		}
		return s.boolean(v)
	case major == dagcbor.MajorArray && s.kind == isArray:
		return s.blockArray(r)
	case major == dagcbor.MajorTag && s.kind == isLink:
		return r.Pass()
	case major == dagcbor.MajorBytes && s.kind == isBytes:
		b, err := r.Bytes()
		if err == nil && !s.text.holds(len(b)) {
			err = s.length("bytes", s.text)
		}
		return err
	case major == dagcbor.MajorMap:
		return s.blockMap(r)
	}
	return s.mustBe()
}

// blockMap checks a map. What has exactly the form of a blob is one, and nothing else.
func (s *schema) blockMap(r *dagcbor.Reader) error {
	if mimeType, size, ok := r.Blob(); ok {
		if s.kind == isBlob {
			return s.blob(string(mimeType), size)
		}
		return s.mustBe()
	}
	switch s.kind {
	case isObject:
		return s.blockObject(r)
	case isUnion:
		name := r.Type()
		if name == "" {
			return s.mustBe()
		}
		v, err := s.variant(name)
		if err != nil {
			return err
		}
		if v == nil {
			return r.Pass()
		}
		return v.block(r)
	case isUnknown:
		return r.Pass()
	}
	return s.mustBe()
}

// blockObject checks the members in the order in which they stand, and tells of the one that is first in the schema.
//
// spec: lexicon#object
func (s *schema) blockObject(r *dagcbor.Reader) error {
	n, err := r.Map()
	if err != nil {
		return err
	}
	var few [16]bool
	given := few[:]
	if len(s.members) > len(few) {
		given = make([]bool, len(s.members))
	}
	first, fault := len(s.members), error(nil)
	for range n {
		key, err := r.Text()
		if err != nil {
			return err
		}
		i := s.member(string(key))
		if i < 0 { // lexicons are open: newer clients send more
			if err := r.Pass(); err != nil {
				return err
			}
			continue
		}
		given[i] = true
		p, value := &s.members[i], *r
		if p.nullable && r.Null() {
			continue
		}
		err = p.schema.block(r)
		if err == nil {
			continue
		}
		if !isViolation(err) {
			return err
		}
		if i < first {
			first, fault = i, in(p.name, err)
		}
		*r = value
		if err := r.Pass(); err != nil {
			return err
		}
	}
	for i := range first {
		if p := &s.members[i]; p.required && !given[i] {
			return in(p.name, wrong(errRequired))
		}
	}
	return fault
}

func (s *schema) blockArray(r *dagcbor.Reader) error {
	n, err := r.Array()
	if err != nil {
		return err
	}
	if !s.text.holds(n) {
		return s.length("elements", s.text)
	}
	for i := range n {
		if err := s.items.block(r); err != nil {
			return inElement(i, err)
		}
	}
	return nil
}
