package scope

import (
	"net/url"
	"slices"
	"strings"
)

// parts are one scope before its meaning: name[:positional][?key=value&…].
type parts struct {
	name       string
	positional string
	hasPos     bool
	params     []param
}

type param struct{ key, value string }

// scan takes a scope apart; false for one whose percent-encoding is broken.
func scan(text string) (s parts, ok bool) {
	head, query, hasQuery := strings.Cut(text, "?")
	var err error
	if s.name, s.positional, s.hasPos = strings.Cut(head, ":"); s.hasPos {
		if s.positional, err = url.PathUnescape(s.positional); err != nil {
			return s, false
		}
	}
	if !hasQuery || query == "" {
		return s, true
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if key, err = url.QueryUnescape(key); err != nil {
			return s, false
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return s, false
		}
		s.params = append(s.params, param{key, value})
	}
	return s, true
}

// only says whether no parameter but these is there.
func (s *parts) only(keys ...string) bool {
	for _, p := range s.params {
		if !slices.Contains(keys, p.key) {
			return false
		}
	}
	return true
}

// all are the values of a repeatable parameter. positional says that it may stand behind the colon, but not at both
// places. fine is asked about each value. ok is false when one is bad; none at all is for the caller to judge.
func (s *parts) all(key string, positional bool, fine func(string) bool) (values []string, ok bool) {
	for _, p := range s.params {
		if p.key == key {
			values = append(values, p.value)
		}
	}
	if positional && s.hasPos {
		if len(values) > 0 {
			return nil, false
		}
		values = []string{s.positional}
	}
	for _, v := range values {
		if !fine(v) {
			return nil, false
		}
	}
	return values, true
}

// one is the value of a parameter that may stand once; "" when it is absent.
func (s *parts) one(key string, positional bool, fine func(string) bool) (value string, ok bool) {
	values, ok := s.all(key, positional, fine)
	switch {
	case !ok || len(values) > 1:
		return "", false
	case len(values) == 0:
		return "", true
	}
	return values[0], true
}

// bare are the characters that the canonical form does not escape beside letters, digits and -._~*!'().
const bare = ":/+,@%"

// escape writes a value the one way that the canonical form has. A plus stays a plus behind the colon only: in the
// query it means a space.
func escape(out *strings.Builder, value string, inQuery bool) {
	const hex = "0123456789ABCDEF"
	for i := range len(value) {
		c := value[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~*", c) >= 0:
			out.WriteByte(c)
		case c == '+' && inQuery, c == '%':
			out.WriteByte('%')
			out.WriteByte(hex[c>>4])
			out.WriteByte(hex[c&15])
		case strings.IndexByte(bare, c) >= 0:
			out.WriteByte(c)
		default:
			out.WriteByte('%')
			out.WriteByte(hex[c>>4])
			out.WriteByte(hex[c&15])
		}
	}
}

// written is the canonical text: one value of the first key stands behind the colon, everything else in the query.
func written(name string, params ...param) string {
	var out strings.Builder
	out.WriteString(name)
	if len(params) > 0 {
		first, n := params[0].key, 0
		for _, p := range params {
			if p.key == first {
				n++
			}
		}
		if n == 1 {
			out.WriteByte(':')
			escape(&out, params[0].value, false)
			params = params[1:]
		}
	}
	for i, p := range params {
		out.WriteByte("?&"[min(i, 1)])
		out.WriteString(p.key)
		out.WriteByte('=')
		escape(&out, p.value, true)
	}
	return out.String()
}
