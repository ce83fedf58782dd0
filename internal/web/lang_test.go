package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/feature/plural"
)

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	markup      = regexp.MustCompile(`</?(b|code)>`)
)

// Every language says everything that English says, with the same placeholders, in all the forms that numbers need there,
// and nothing else. To see what is missing: go test ./internal/web -run TestEveryLanguage
func TestEveryLanguage(t *testing.T) {
	english, err := fs.Glob(langFiles, "lang/en/*.json")
	if err != nil || len(english) == 0 {
		t.Fatal(english, err)
	}
	if want := []string{"de", "en", "es", "fr", "ja", "nl", "pt-BR"}; !slices.Equal(Languages(), want) {
		t.Fatal(Languages())
	}
	for _, file := range english {
		want := readLang(t, file)
		for _, tag := range Languages() {
			other := path.Join("lang", tag, path.Base(file))
			got := readLang(t, other)
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if got[key] == nil {
					t.Errorf("%s lacks %s: %v", other, key, want[key][plural.Other])
				} else if bad := compare(tag, got[key], want[key]); bad != "" {
					t.Errorf("%s: %s: %s", other, key, bad)
				}
			}
			for key := range got {
				if want[key] == nil {
					t.Errorf("%s has %s, which English has not", other, key)
				}
			}
		}
	}
}

// readLang reads one file; one that is not there is empty.
func readLang(t *testing.T, file string) catalogue {
	t.Helper()
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return catalogue{}
	}
	var out catalogue
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return out
}

// compare says what is wrong with a text.
func compare(tag string, got, want entry) string {
	needed := map[plural.Form]bool{plural.Other: true}
	if len(want) > 1 {
		for n := range int64(300) {
			needed[pluralOf(tag, n)] = true
		}
	}
	for form := range needed {
		if _, ok := got[form]; !ok {
			return fmt.Sprintf("has no form %v", form)
		}
	}
	find := func(s string) []string {
		return slices.Compact(slices.Sorted(slices.Values(append(placeholder.FindAllString(s, -1), markup.FindAllString(s, -1)...))))
	}
	for form, text := range got {
		switch {
		case !needed[form]:
			return fmt.Sprintf("has a form %v, which no number needs", form)
		case strings.TrimSpace(text) == "":
			return "is empty"
		case strings.ContainsAny(placeholder.ReplaceAllString(text, ""), "{}"):
			return "has braces that hold no name"
		case strings.ContainsAny(markup.ReplaceAllString(text, ""), "<>"):
			return "has other markup than <b> and <code>"
		}
		if a, b := find(text), find(want[plural.Other]); !slices.Equal(a, b) {
			return fmt.Sprintf("has %v, English %v", a, b)
		}
	}
	return ""
}

var (
	saidInTemplate = regexp.MustCompile(`\.Say(?:HTML)? "([a-z0-9._-]+)"`)
	saidInCode     = regexp.MustCompile(`(?:Say(?:HTML)?\(|Key: +|Note\([A-Za-z.]+, )"([a-z0-9._-]+)"`)
)

// What templates and code say, the catalogue has.
func TestTextsThatAreSaid(t *testing.T) {
	have := catalogues()[DefaultLang]
	seen := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(file, "testdata/") {
			return err
		}
		form := saidInTemplate
		switch {
		case strings.HasSuffix(file, "_test.go"):
			return nil
		case path.Ext(file) == ".go":
			form = saidInCode
		case path.Ext(file) != ".html":
			return nil
		}
		b, err := os.ReadFile(file)
		for _, m := range form.FindAllStringSubmatch(string(b), -1) {
			seen++
			if key := m[1]; have[key] == nil && !strings.HasSuffix(key, ".") {
				t.Errorf("%s says %s, which lang/en has not", file, key)
			}
		}
		return err
	})
	if err != nil || seen < 10 {
		t.Fatal(seen, err)
	}
	for _, p := range []*Problem{errForeign, errNotHere, errNoForm, errLarge, errStale, NotFound} {
		if have[p.Key] == nil || have[p.Key+".title"] == nil {
			t.Error(p.Key)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Text("en", "ago.days", "n", 1), "1 day ago"},
		{Text("en", "ago.days", "n", 2), "2 days ago"},
		{Text("en", "ago.days", "n", 12345), "12,345 days ago"},
		{Text("de", "ago.days", "n", 12345), "vor 12.345 Tagen"},
		{Text("fr", "ago.days", "n", 0), "il y a 0 jour"},
		{Text("fr", "ago.days", "n", 1_000_000), "il y a 1\u202f000\u202f000 jours"},
		{Text("ja", "ago.days", "n", 1), "1日前"},
		{Text("xx", "ago.now"), "just now"},
		{Text("de", "no.such.key"), "no.such.key"},
		{number("de", 1234), "1234"},
		{number("en", -1234), "-1,234"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	v := &Visit{Lang: "en"}
	if got := v.SayHTML("problem.internal", "id", "<b>"); strings.Contains(string(got), "<b>") {
		t.Error(got)
	}
	for n, want := range map[int64]string{0: "0\u00a0B", 999: "999\u00a0B", 1000: "1.0\u00a0kB", 99_400: "99.4\u00a0kB", 999_499: "999\u00a0kB", 999_500: "1.0\u00a0MB", 5_000_000_000_000_000: "5000\u00a0TB"} {
		if got := v.Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
