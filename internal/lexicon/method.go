package lexicon

import (
	"bytes"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Method is what a lexicon says of the requests of a query, a procedure or a subscription.
type Method struct {
	params *schema // never nil
	input  *schema // of a JSON body; nil: none
}

// CheckBody judges a JSON body. An error of JSON itself is a *jsontext.SyntacticError; names given twice are left to
// whoever reads the body next.
// spec: lexicon#query-and-procedure-http-api
func (m *Method) CheckBody(text []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), lax...)
	if err := m.input.json(dec); err != nil {
		return err
	}
	return nil
}

// CheckParams judges the parameters of a request and gives them back as every reader of queries understands them, without
// the empty ones, which are absent ones. What the lexicon does not know stays as it is.
// spec: lexicon#params
func (m *Method) CheckParams(rawQuery string) (clean string, err error) {
	if rawQuery == "" && len(m.params.members) == 0 {
		return "", nil
	}
	var out strings.Builder
	given, err := m.given(rawQuery, &out)
	if err != nil {
		return "", err
	}
	for i := range m.params.members {
		p := &m.params.members[i]
		s := p.schema
		if len(given[i]) == 0 {
			continue
		}
		if s.kind == isArray {
			if !s.text.holds(len(given[i])) {
				return "", in(p.name, s.length("elements", s.text))
			}
			s = s.items
		}
		for n, text := range given[i] {
			if err := s.param(text); err != nil {
				if p.schema.kind == isArray {
					err = inElement(n, err)
				}
				return "", in(p.name, err)
			}
			and(&out, url.QueryEscape(p.name)+"="+url.QueryEscape(text))
		}
	}
	for i := range given {
		if p := &m.params.members[i]; p.required && len(given[i]) == 0 {
			return "", in(p.name, wrong(errRequired))
		}
	}
	return out.String(), nil
}

// given are the values of each parameter that the lexicon knows, in the order of its members. The other pairs go to others.
func (m *Method) given(rawQuery string, others *strings.Builder) ([][]string, error) {
	given := make([][]string, len(m.params.members))
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		i := -1
		if err == nil {
			i = m.params.member(name)
		}
		if i < 0 {
			and(others, pair)
			continue
		}
		if value == "" {
			continue
		}
		p := &m.params.members[i]
		text, err := url.QueryUnescape(value)
		if err != nil || !utf8.ValidString(text) {
			return nil, in(p.name, wrong("must be valid percent-encoding of UTF-8"))
		}
		if len(given[i]) > 0 && p.schema.kind != isArray {
			return nil, in(p.name, wrong("must be given once"))
		}
		given[i] = append(given[i], text)
	}
	return given, nil
}

// and adds a pair to a query.
func and(query *strings.Builder, pair string) {
	if pair != "" && query.Len() > 0 {
		query.WriteByte('&')
	}
	query.WriteString(pair)
}

// param checks one value of a parameter.
func (s *schema) param(text string) error {
	switch s.kind {
	case isString:
		return s.string(text)
	case isInteger:
		if n, ok := integer(text); ok {
			return s.integer(n)
		}
	case isBoolean:
		if text == "true" || text == "false" {
			return s.boolean(text == "true")
		}
	}
	return s.mustBe()
}
