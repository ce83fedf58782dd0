package web

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"
)

// matcher knows the languages, in their order.
var matcher = sync.OnceValues(func() (language.Matcher, []string) {
	tags := []language.Tag{language.Und} // who wants none of the others gets this one
	names := []string{""}
	for _, name := range Languages() {
		tags, names = append(tags, language.Make(name)), append(names, name)
	}
	return language.NewMatcher(tags), names
})

const maxWishes = 30 // languages that are looked at

// Match is the best of our languages for the first tag that any of them fits; "": none does.
func Match(tags ...string) string {
	m, names := matcher()
	if len(tags) > maxWishes {
		tags = tags[:maxWishes]
	}
	for _, text := range tags {
		tag, err := language.Parse(text)
		if err != nil {
			continue // a tag that nobody knows spoils no other
		}
		if _, i, sure := m.Match(tag); sure >= language.High && names[i] != "" {
			return names[i]
		}
	}
	return ""
}

// wishes are the tags of an Accept-Language header, the dearest first.
//
// spec: RFC 9110 section 12.5.4
func wishes(accept string) []string {
	type wish struct {
		tag    string
		weight float32
	}
	var all []wish
	for part := range strings.SplitSeq(accept, ",") {
		if tags, weights, err := language.ParseAcceptLanguage(part); err == nil && len(tags) == 1 && weights[0] > 0 && len(all) < maxWishes {
			all = append(all, wish{tags[0].String(), weights[0]})
		}
	}
	slices.SortStableFunc(all, func(a, b wish) int { return cmp.Compare(b.weight, a.weight) })
	out := make([]string, len(all))
	for i, w := range all {
		out[i] = w.tag
	}
	return out
}

// langLife is how long the choice of a language is kept.
const langLife = 365 * 24 * time.Hour

// language is what the page is in: what was chosen on a page, what the app asks for (ui_locales), what the browser asks
// for, what the tenant speaks.
func (v *Visit) language(uiLocales string) string {
	if asked := v.R.URL.Query().Get("lang"); asked != "" && v.R.Method != "POST" && slices.Contains(Languages(), asked) {
		v.setCookie(cookieLang, asked, langLife)
		return asked
	}
	if chosen := v.cookie(cookieLang); slices.Contains(Languages(), chosen) {
		return chosen
	}
	return cmp.Or(Match(strings.Fields(uiLocales)...), Match(wishes(v.R.Header.Get("Accept-Language"))...), Match(v.Tenant.Settings.MailLanguage), DefaultLang)
}

// Speak takes the languages that an app asks for into account: tags with spaces between, the dearest first.
func (v *Visit) Speak(uiLocales string) { v.Lang = v.language(uiLocales) }

// Dir is how the language is written.
func (v *Visit) Dir() string {
	script, _ := language.Make(v.Lang).Script()
	if slices.Contains([]string{"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm"}, script.String()) {
		return "rtl"
	}
	return "ltr"
}
