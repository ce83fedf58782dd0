package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed lang
var langFiles embed.FS

// DefaultLang is what a text is in when the wanted language has none.
const DefaultLang = "en"

// entry is one text: Other, or another form where the number n asks for it.
type entry map[plural.Form]string

var forms = map[string]plural.Form{"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, "other": plural.Other}

func (e *entry) UnmarshalJSON(b []byte) error {
	*e = entry{}
	var one string
	if json.Unmarshal(b, &one) == nil {
		(*e)[plural.Other] = one
		return nil
	}
	var all map[string]string
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for name, text := range all {
		form, ok := forms[name]
		if !ok {
			return fmt.Errorf("%q is no plural form", name)
		}
		(*e)[form] = text
	}
	return nil
}

// catalogue is all texts in one language.
type catalogue map[string]entry

// catalogues are all languages, by tag. The files are ours: a broken one ends the process at first use, and the tests.
var catalogues = sync.OnceValue(func() map[string]catalogue {
	out, err := readCatalogues(langFiles)
	if err != nil {
		panic(err)
	}
	return out
})

func readCatalogues(files fs.FS) (map[string]catalogue, error) {
	out := map[string]catalogue{}
	names, err := fs.Glob(files, "lang/*/*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		var texts catalogue
		if err := json.Unmarshal(b, &texts); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		tag := path.Base(path.Dir(name))
		if out[tag] == nil {
			out[tag] = catalogue{}
		}
		for key, text := range texts {
			if out[tag][key] != nil {
				return nil, fmt.Errorf("%s: %s stands in another file too", name, key)
			}
			out[tag][key] = text
		}
	}
	return out, nil
}

// Languages are the tags of all languages that pages speak.
var Languages = sync.OnceValue(func() []string { return slices.Sorted(maps.Keys(catalogues())) })

func known(key string) bool { return catalogues()[DefaultLang][key] != nil }

// Text is a text in a language. args are names and values of what stands in it in braces; the form is chosen by the one
// called n, a whole number. A text that a language lacks comes in English.
func Text(lang, key string, args ...any) string {
	return fill(lang, key, args, func(s string) string { return s })
}

func fill(lang, key string, args []any, escape func(string) string) string {
	all := catalogues()
	e := all[lang][key]
	if e == nil {
		lang = DefaultLang
		if e = all[lang][key]; e == nil {
			return key
		}
	}
	pairs := make([]string, 0, len(args))
	form := plural.Other
	for i := 0; i+1 < len(args); i += 2 {
		name, value := fmt.Sprint(args[i]), args[i+1]
		shown := fmt.Sprint(value)
		if n, ok := whole(value); ok {
			if name == "n" {
				form = pluralOf(lang, n)
			}
			shown = number(lang, n)
		}
		pairs = append(pairs, "{"+name+"}", escape(shown))
	}
	text, ok := e[form]
	if !ok {
		text = e[plural.Other]
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func whole(value any) (int64, bool) {
	switch n := value.(type) {
	case int:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	}
	return 0, false
}

func pluralOf(lang string, n int64) plural.Form {
	n = max(n, -n)
	return plural.Cardinal.MatchPlural(language.Make(lang), int(n%10_000_000), 0, 0, 0, 0)
}

// number is n with its thousands set apart.
func number(lang string, n int64) string {
	gap := "\u202f" // narrow, and it does not break
	switch lang {
	case "en", "ja":
		gap = ","
	case "de", "nl", "pt-BR", "es":
		gap = "."
	}
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	if len(s) <= 4 && lang != "en" && lang != "ja" {
		return sign + s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + gap + s[i:]
	}
	return sign + s
}

// Say is a text in the reader's language: see [Text].
func (v *Visit) Say(key string, args ...any) string { return Text(v.Lang, key, args...) }

// SayHTML is a text that has <b> or <code> in it. What is filled in is text.
func (v *Visit) SayHTML(key string, args ...any) template.HTML {
	return template.HTML(fill(v.Lang, key, args, template.HTMLEscapeString))
}

// Date is a day as people write it.
func (v *Visit) Date(t time.Time) string {
	t = t.UTC()
	month := v.Say("month." + strconv.Itoa(int(t.Month())))
	return v.Say("date", "d", strconv.Itoa(t.Day()), "m", strconv.Itoa(int(t.Month())), "month", month, "y", strconv.Itoa(t.Year()))
}

// Moment is a day and the time of it. The server does not know the reader's time zone, so it is named.
func (v *Visit) Moment(t time.Time) string {
	return v.Say("moment", "date", v.Date(t), "time", t.UTC().Format("15:04"))
}

// Ago says how long ago something was.
func (v *Visit) Ago(t time.Time) string {
	d := v.Now().Sub(t)
	switch {
	case d < time.Minute:
		return v.Say("ago.now")
	case d < time.Hour:
		return v.Say("ago.minutes", "n", int(d/time.Minute))
	case d < 24*time.Hour:
		return v.Say("ago.hours", "n", int(d/time.Hour))
	case d < 31*24*time.Hour:
		return v.Say("ago.days", "n", int(d/(24*time.Hour)))
	}
	return v.Date(t)
}

// Bytes is a size as people write it.
func (v *Visit) Bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	x, i := float64(n), 0
	for x >= 999.5 && i < len(units)-1 {
		x, i = x/1000, i+1
	}
	s := strconv.FormatFloat(x, 'f', 0, 64)
	if i > 0 && x < 99.5 {
		s = strconv.FormatFloat(x, 'f', 1, 64)
		if v.Lang != "en" && v.Lang != "ja" {
			s = strings.Replace(s, ".", ",", 1)
		}
	}
	return s + "\u00a0" + units[i]
}

// Number is a whole number as people write it.
func (v *Visit) Number(n int64) string { return number(v.Lang, n) }
