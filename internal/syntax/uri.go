package syntax

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// isURI takes a scheme as RFC 3986 has it and behind it, as people's links are, anything that can be seen: browsers
// write paths, queries and hosts in every script (RFC 3987), and "|" or a bare "%" where the RFC wants an escape.
// spec: lexicon#uri
func isURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || rest == "" || !alpha(scheme[0]) {
		return false
	}
	if !every(scheme, func(c byte) bool { return alphanum(c) || c == '+' || c == '-' || c == '.' }) {
		return false
	}
	for i := 0; i < len(rest); {
		c := rest[i]
		if c < utf8.RuneSelf {
			if c <= ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(rest[i:])
		if r == utf8.RuneError && size == 1 || unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' || r == '\u2028' || r == '\u2029' {
			return false
		}
		i += size
	}
	return true
}
