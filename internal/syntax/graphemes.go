package syntax

import (
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// Graphemes counts the characters of a text as people see them: extended grapheme clusters by Unicode 17, conjuncts of
// Indic scripts among them.
// spec: UAX #29, rules GB1 to GB999
func Graphemes(s string) int {
	if i := firstWide(s); i == len(s) {
		return len(s) - strings.Count(s, "\r\n")
	}
	n := 0
	for it := graphemes.FromString(s); it.Next(); {
		n++
	}
	return n
}

// firstWide is where the first byte that is not ASCII stands.
func firstWide(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
}
