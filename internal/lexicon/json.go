package lexicon

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/syntax"
)

// lax leaves to whoever reads the values what this reader need not look at: other names given twice and broken UTF-8.
var lax = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// json checks the next value of dec. An error that is no violation is one of JSON itself.
func (s *schema) json(dec *jsontext.Decoder) error {
	switch k := dec.PeekKind(); {
	case k == '"' && s.kind == isString:
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		return s.string(t.String())
	case k == '0' && s.kind == isInteger:
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		n, ok := integer(string(raw))
		if !ok {
			return s.mustBe()
		}
		return s.integer(n)
	case (k == 't' || k == 'f') && s.kind == isBoolean:
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		return s.boolean(t.Bool())
	case k == '[' && s.kind == isArray:
		return s.jsonArray(dec)
	case k == '{':
		switch s.kind {
		case isObject:
			return s.jsonObject(dec)
		case isUnion:
			return s.jsonUnion(dec)
		case isUnknown:
			return dec.SkipValue()
		case isBytes, isLink, isBlob:
			return s.jsonSpecial(dec)
		}
	case k == 'n':
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		return s.mustBe()
	}
	if err := dec.SkipValue(); err != nil {
		return err
	}
	return s.mustBe()
}

// integer reads digits, perhaps with a minus: no fraction, no exponent, no plus.
func integer(text string) (int64, bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func (s *schema) jsonObject(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	var few [16]bool
	given := few[:]
	if len(s.members) > len(few) {
		given = make([]bool, len(s.members))
	}
	for dec.PeekKind() == '"' {
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		i := s.member(t.String())
		if i < 0 { // lexicons are open: newer clients send more
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		p := &s.members[i]
		if given[i] {
			return &jsontext.SyntacticError{ByteOffset: dec.InputOffset(), Err: jsontext.ErrDuplicateName}
		}
		given[i] = true
		if p.nullable && dec.PeekKind() == 'n' {
			if _, err := dec.ReadToken(); err != nil {
				return err
			}
			continue
		}
		if err := p.schema.json(dec); err != nil {
			return in(p.name, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for i := range s.members {
		if p := &s.members[i]; p.required && !given[i] {
			return in(p.name, wrong(errRequired))
		}
	}
	return nil
}

func (s *schema) jsonArray(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; dec.PeekKind() != ']'; n++ {
		if s.text.max >= 0 && n == s.text.max {
			return s.length("elements", s.text)
		}
		if err := s.items.json(dec); err != nil {
			return inElement(n, err)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	if !s.text.holds(n) {
		return s.length("elements", s.text)
	}
	return nil
}

func (s *schema) jsonUnion(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	raw = raw.Clone() // the decoder goes on
	name, ok := typeOf(raw)
	if !ok {
		return s.mustBe()
	}
	v, err := s.variant(name)
	if v == nil {
		return err
	}
	return v.json(jsontext.NewDecoder(bytes.NewReader(raw), lax...))
}

// typeOf is the $type of an object, if it is a string.
func typeOf(raw jsontext.Value) (name string, ok bool) {
	var head struct {
		Type *string `json:"$type"`
	}
	if json.Unmarshal(raw, &head, lax...) != nil || head.Type == nil {
		return "", false
	}
	return *head.Type, true
}

// jsonSpecial checks the objects that stand for what JSON does not have.
// spec: data-model#json-representation
func (s *schema) jsonSpecial(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch s.kind {
	case isBytes:
		var v struct {
			Bytes *string `json:"$bytes"`
		}
		if json.Unmarshal(raw, &v, lax...) != nil || v.Bytes == nil {
			return s.mustBe()
		}
		text := bytes.TrimRight([]byte(*v.Bytes), "=")
		if !s.text.holds(len(text) * 3 / 4) {
			return s.length("bytes", s.text)
		}
	case isLink:
		if !isLinkJSON(raw) {
			return s.mustBe()
		}
	case isBlob:
		var v struct {
			Type     string         `json:"$type"`
			Ref      jsontext.Value `json:"ref"`
			MimeType *string        `json:"mimeType"`
			Size     *int64         `json:"size"`
		}
		if json.Unmarshal(raw, &v, lax...) != nil || v.Type != "blob" || v.Ref == nil || !isLinkJSON(v.Ref) || v.MimeType == nil || v.Size == nil {
			return s.mustBe()
		}
		return s.blob(*v.MimeType, *v.Size)
	}
	return nil
}

func isLinkJSON(raw jsontext.Value) bool {
	var v struct {
		Link *string `json:"$link"`
	}
	return raw.Kind() == '{' && json.Unmarshal(raw, &v, lax...) == nil && v.Link != nil && syntax.CID.Is(*v.Link)
}
