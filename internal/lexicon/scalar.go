package lexicon

import (
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/syntax"
)

// mainSuffix ends no $type: the main definition of a document goes by the document's name.
const mainSuffix = "#main"

func (s *schema) boolean(v bool) error {
	if s.truth != nil && v != *s.truth {
		return wrongf("must be %t", *s.truth)
	}
	return nil
}

func (s *schema) integer(v int64) error {
	switch {
	case s.number.min != nil && v < *s.number.min:
		return wrongf("must be at least %d", *s.number.min)
	case s.number.max != nil && v > *s.number.max:
		return wrongf("must be at most %d", *s.number.max)
	case s.ints != nil && !slices.Contains(s.ints, v):
		return wrong("must be one of the allowed numbers")
	}
	return nil
}

// takesAny tells whether a string may be any text.
func (s *schema) takesAny() bool {
	return s.format == nil && s.texts == nil && s.text.none() && s.seen.none()
}

// spec: lexicon#string
func (s *schema) string(v string) error {
	if s.format != nil && !s.format.Is(v) {
		return wrong("must be a valid " + s.format.What)
	}
	if s.texts != nil && !slices.Contains(s.texts, v) {
		if len(s.texts) == 1 {
			return wrongf("must be %q", s.texts[0])
		}
		return wrongf("must be one of %s", strings.Join(s.texts, ", "))
	}
	if !s.text.holds(len(v)) {
		return s.length("bytes", s.text)
	}
	return s.graphemes(v)
}

// graphemes counts only where the bytes do not decide: there are never more graphemes than bytes.
func (s *schema) graphemes(v string) error {
	if s.seen.none() || len(v) <= s.seen.max && s.seen.min == 0 {
		return nil
	}
	if len(v) >= s.seen.min && s.seen.holds(syntax.Graphemes(v)) {
		return nil
	}
	return s.length("graphemes", s.seen)
}

func (s *schema) length(of string, b bounds) error {
	switch {
	case b.max < 0:
		return wrongf("must have at least %d %s", b.min, of)
	case b.min == 0:
		return wrongf("must have at most %d %s", b.max, of)
	}
	return wrongf("must have %d to %d %s", b.min, b.max, of)
}

// spec: lexicon#blob
func (s *schema) blob(mimeType string, size int64) error {
	if size < 0 {
		return wrong("must have a size: legacy blobs are not allowed")
	}
	if len(s.accept) > 0 && !slices.ContainsFunc(s.accept, func(pattern string) bool { return accepts(pattern, mimeType) }) {
		return wrongf("must have a mimetype of %s", strings.Join(s.accept, ", "))
	}
	if s.maxSize > 0 && size > s.maxSize {
		return wrongf("must have at most %d bytes", s.maxSize)
	}
	return nil
}

// accepts compares a type with "image/png", "image/*" or "*/*".
func accepts(pattern, mimeType string) bool {
	if pattern == "*/*" {
		return mimeType != ""
	}
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(mimeType, prefix)
	}
	return pattern == mimeType
}

// variant is the schema of a union's $type; nil, nil is one that an open union takes as it is.
// spec: lexicon#union
func (s *schema) variant(name string) (*schema, error) {
	if v := s.variants[name]; v != nil {
		return v, nil
	}
	if s.closed || name == "" || strings.HasSuffix(name, mainSuffix) {
		return nil, wrong("has a $type that is not allowed here")
	}
	return nil, nil
}
