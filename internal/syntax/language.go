package syntax

import (
	"slices"
	"strings"
)

// grandfathered are the tags that were registered before RFC 5646 and that its grammar does not take, or takes as
// something else.
var grandfathered = map[string]bool{
	"en-gb-oed": true, "i-ami": true, "i-bnn": true, "i-default": true, "i-enochian": true, "i-hak": true, "i-klingon": true,
	"i-lux": true, "i-mingo": true, "i-navajo": true, "i-pwn": true, "i-tao": true, "i-tay": true, "i-tsu": true,
	"sgn-be-fr": true, "sgn-be-nl": true, "sgn-ch-de": true,
	"art-lojban": true, "cel-gaulish": true, "no-bok": true, "no-nyn": true, "zh-guoyu": true, "zh-hakka": true,
	"zh-min": true, "zh-min-nan": true, "zh-xiang": true,
}

// isLanguage takes well-formed tags in which no variant and no singleton stands twice. The language itself is a code of
// two or three letters in lower case; the longer ones of the grammar were never given out.
// spec: lexicon#language, RFC 5646 section 2.1
func isLanguage(s string) bool {
	if len(s) == 2 {
		return every(s, lower)
	}
	tag := strings.ToLower(s)
	if grandfathered[tag] {
		return true
	}
	subtags := strings.Split(tag, "-")
	for _, t := range subtags {
		if t == "" || len(t) > 8 || !every(t, alphanum) {
			return false
		}
	}
	if subtags[0] == "x" {
		return len(subtags) > 1
	}
	if n := len(subtags[0]); n < 2 || n > 3 || !every(s[:n], lower) {
		return false
	}
	i := 1
	next := func(is func(string) bool) bool {
		if i == len(subtags) || !is(subtags[i]) {
			return false
		}
		i++
		return true
	}
	for n := 0; n < 3 && next(isExtLang); n++ {
		continue // "zh-min-nan" has two
	}
	next(isScript)
	next(isRegion)
	variants := i
	for next(isVariant) {
		if slices.Contains(subtags[variants:i-1], subtags[i-1]) {
			return false
		}
	}
	var singletons string
	for next(isSingleton) {
		singleton := subtags[i-1]
		if strings.Contains(singletons, singleton) || !next(isExtension) {
			return false
		}
		singletons += singleton
		for next(isExtension) {
			continue
		}
	}
	if i < len(subtags) && subtags[i] == "x" {
		return i+1 < len(subtags)
	}
	return i == len(subtags)
}

func isExtLang(t string) bool   { return len(t) == 3 && every(t, lower) }
func isScript(t string) bool    { return len(t) == 4 && every(t, lower) }
func isRegion(t string) bool    { return len(t) == 2 && every(t, lower) || len(t) == 3 && every(t, digit) }
func isVariant(t string) bool   { return len(t) >= 5 || len(t) == 4 && digit(t[0]) }
func isSingleton(t string) bool { return len(t) == 1 && t != "x" }
func isExtension(t string) bool { return len(t) >= 2 }
