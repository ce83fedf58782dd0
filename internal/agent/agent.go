// Package agent says in a few words what program a User-Agent header names: "Firefox 143, Linux". What a program says of
// itself is a hint for its owner, never a fact.
package agent

import (
	"strings"
	"unicode"
)

// maxWords bounds what is kept of a program that is not known here.
const maxWords = 60

// browsers in the order in which they are looked for: most claim to be others, too.
var browsers = []struct{ mark, name string }{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"OPiOS/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
	{"Vivaldi/", "Vivaldi"}, {"YaBrowser/", "Yandex"}, {"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"},
	{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"},
	{"Version/", "Safari"},
}

var systems = []struct{ mark, name string }{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
	{"Macintosh", "macOS"}, {"Mac OS X", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"},
}

// Words says what a User-Agent header names; "" for an empty one.
func Words(header string) string {
	header = clean(header)
	if !strings.HasPrefix(header, "Mozilla/") {
		// A program's own name and version come first.
		first, _, _ := strings.Cut(header, " ")
		return short(strings.Replace(first, "/", " ", 1))
	}
	var parts []string
	for _, b := range browsers {
		if version, ok := after(header, b.mark); ok && (b.name != "Safari" || strings.Contains(header, "Safari/")) {
			parts = append(parts, strings.TrimSpace(b.name+" "+version))
			break
		}
	}
	for _, s := range systems {
		if strings.Contains(header, s.mark) {
			parts = append(parts, s.name)
			break
		}
	}
	if len(parts) == 0 {
		return short(header)
	}
	return strings.Join(parts, ", ")
}

// Family is [Words] without versions: the same program after an update.
func Family(header string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) || r == '.' {
			return -1
		}
		return r
	}, Words(header))
}

// after gives the first part of the version behind a mark.
func after(header, mark string) (version string, ok bool) {
	_, rest, ok := strings.Cut(header, mark)
	if !ok {
		return "", false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return !unicode.IsDigit(r) })
	if end < 0 {
		end = len(rest)
	}
	return rest[:min(end, 6)], true
}

// clean drops what has no place in a line of text.
func clean(s string) string {
	if len(s) > 512 {
		s = s[:512]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(s)
}

func short(s string) string {
	r := []rune(s)
	return strings.TrimSpace(string(r[:min(len(r), maxWords)]))
}
