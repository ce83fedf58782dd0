package syntax

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	indigo "github.com/bluesky-social/indigo/atproto/syntax"
	"github.com/rivo/uniseg"

	"github.com/auroralocus/locus/internal/syntax/oracle"
	"github.com/auroralocus/locus/internal/vectors"
)

// A format's check in indigo.
func parses[T any](parse func(string) (T, error)) func(string) bool {
	return func(s string) bool { _, err := parse(s); return err == nil }
}

var inIndigo = map[*Format]func(string) bool{
	DID: parses(indigo.ParseDID), Handle: parses(indigo.ParseHandle), AtIdentifier: parses(indigo.ParseAtIdentifier), NSID: parses(indigo.ParseNSID),
	AtURI: parses(indigo.ParseATURI), CID: parses(indigo.ParseCID), TID: parses(indigo.ParseTID), RecordKey: parses(indigo.ParseRecordKey),
	Datetime: parses(indigo.ParseDatetime), URI: parses(indigo.ParseURI), Language: parses(indigo.ParseLanguage),
}

type difference struct {
	kind                    string
	format                  *Format
	example                 string
	ours, indigo, reference bool
	of                      func(string) bool
}

// differences are the kinds of texts on which the implementations are of different minds, each with an example:
// docs/data-model.md has the same table, with the reasons. of says which texts are of the kind; nil where only indigo
// differs.
var differences = []difference{
	{"characters beyond ASCII", URI, "https://例え.テスト/Köln", true, false, true, nil},
	{"capitals in the scheme", URI, "HTTPS://example.com", true, false, true, nil},
	{"digits in the scheme", URI, "h323:x", true, false, true, nil},
	{"plus, minus, dot in the scheme", URI, "git+ssh://example.com", true, false, false, func(s string) bool {
		scheme, _, _ := strings.Cut(s, ":")
		return strings.ContainsAny(scheme, "+-.")
	}},
	{"a path right behind the scheme", URI, "file:///etc/hosts", true, true, false, func(s string) bool {
		_, rest, _ := strings.Cut(s, ":")
		return strings.HasPrefix(strings.TrimPrefix(rest, "//"), "/") || strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "//") || rest == "//"
	}},
	{"a scheme that is none", URI, "1a_b:x", false, false, true, func(s string) bool {
		scheme, _, _ := strings.Cut(s, ":")
		return !alpha(scheme[0]) || strings.Contains(scheme, "_")
	}},
	{"control characters", URI, "https://a\x01b", false, false, true, func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 })
	}},
	{"longer than 8 KiB", URI, "x:" + strings.Repeat("x", 8192), false, false, true, func(s string) bool { return len(s) > 8192 }},
	{"another separator of the fraction", Datetime, "1985-04-12T23:20:50,123Z", false, true, false, nil},
	{"offsets beyond 23 hours", Datetime, "1985-04-12T23:20:50+24:00", false, true, false, nil},
	{"more than 20 digits of a fraction", Datetime, "1985-04-12T23:20:50.123456789012345678901Z", true, false, true, nil},
	{"year 10000 in UTC", Datetime, "9999-12-31T23:59:59-01:00", false, true, false, nil},
	{"days that the month does not have", Datetime, "1985-02-30T00:00:00Z", false, false, true, func(s string) bool {
		return len(s) > 10 && (s[8] == '3' || s[8:10] == "29")
	}},
	{"private use", Language, "x-klingon", true, false, true, nil},
	{"old tags with a capital", Language, "I-Klingon", true, false, false, func(s string) bool { return grandfathered[strings.ToLower(s)] }},
	{"a repeated variant", Language, "de-1901-1901", false, true, false, nil},
	{"a repeated singleton", Language, "en-a-foo-a-bar", false, true, false, nil},
	{"subtags out of their order", Language, "de-419-DE", false, true, false, nil},
	{"longer than 128", Language, "en-x-" + strings.Repeat("aaaaaaa-", 16) + "b", false, false, true, func(s string) bool { return len(s) > 128 }},
	{"a fragment", AtURI, "at://did:plc:x#/a", false, false, true, func(s string) bool { return strings.Contains(s, "#") }},
	{"a word that is no CID", CID, "nonsense", false, true, false, nil},
	{"version 0", CID, "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKU4e6", false, true, true, func(s string) bool { return strings.HasPrefix(s, "Qm") }},
	{"encodings but base32", CID, "f01551220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", true, true, false, func(s string) bool {
		return s != "" && s[0] != 'b'
	}},
}

func TestDifferences(t *testing.T) {
	var questions []any
	for _, d := range differences {
		if got := d.format.Is(d.example); got != d.ours {
			t.Errorf("%s, %s: ours says %t", d.format.Name, d.kind, got)
		}
		if got := inIndigo[d.format](d.example); got != d.indigo {
			t.Errorf("%s, %s: indigo says %t", d.format.Name, d.kind, got)
		}
		if (d.of == nil) != (d.ours == d.reference) || d.of != nil && !d.of(d.example) {
			t.Errorf("%s, %s: the example is not of the kind", d.format.Name, d.kind)
		}
		questions = append(questions, question{d.format.Name, d.example})
	}
	for i, answer := range oracle.Ask(t, questions...) {
		if d := differences[i]; (string(answer) == "true") != d.reference {
			t.Errorf("%s, %s: the reference says %s", d.format.Name, d.kind, answer)
		}
	}
}

type question struct {
	Format string `json:"format"`
	Text   string `json:"text"`
}

// TestOracle holds every format against the reference on the interop lists, our examples and thousands of texts made
// from both: where the two differ, the table above says so.
func TestOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2)) // the same texts every time
	var questions []any
	var asked []*Format
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		f := byName[name]
		for _, text := range texts(t, rng, f) {
			questions = append(questions, question{name, text})
			asked = append(asked, f)
		}
	}
	answers := oracle.Ask(t, questions...)
	wrong := 0
	for i, answer := range answers {
		f, text := asked[i], questions[i].(question).Text
		ours, theirs := f.Is(text), string(answer) == "true"
		if ours == theirs || slices.ContainsFunc(differences, func(d difference) bool {
			return d.format == f && d.ours == ours && d.of != nil && d.of(text)
		}) {
			continue
		}
		if wrong++; wrong < 50 {
			t.Errorf("%s %q: ours %t, the reference %t", f.Name, text, ours, theirs)
		}
	}
	if answers != nil {
		t.Logf("%d texts", len(answers))
	}
}

// texts are texts that are nearly of a format, and those that are.
func texts(t *testing.T, rng *rand.Rand, f *Format) []string {
	seeds := slices.Concat(examples[f].good, examples[f].bad)
	file := strings.ReplaceAll(f.Name, "-", "")
	for _, list := range []string{"_syntax_valid.txt", "_syntax_invalid.txt"} {
		seeds = append(seeds, vectors.Lines(t, "syntax", file+list)...)
	}
	for _, d := range differences {
		seeds = append(seeds, d.example)
	}
	seeds = slices.DeleteFunc(seeds, func(s string) bool { return strings.Contains(s, "\xff") }) // no JSON has it
	out := slices.Clone(seeds)
	pieces := []string{"", "-", ".", ":", "/", "#", "?", "%", "_", "~", "+", " ", "\t", "\n", "\u00a0", "\u2028", "\ufeff", "ü", "🦋", "a", "z", "A", "Z", "0", "1", "9", "x", "T", "Z", "did:", "//", "--", "..", "@", "[", "\x00", "\x7f", "\u0085", "１", "-x-", "-00:00", "+01:00", ".5"}
	for range 4000 {
		s := []byte(seeds[rng.IntN(len(seeds))])
		if len(s) > 400 {
			continue
		}
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(s) + 1)
			end := min(len(s), at+rng.IntN(3))
			s = slices.Replace(s, at, end, []byte(pieces[rng.IntN(len(pieces))])...)
		}
		if text := strings.ToValidUTF8(string(s), ""); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// TestGraphemeOracle holds the counting against the reference's and, where its Unicode is as new, Node's own.
func TestGraphemeOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var all []rune
	var questions []any
	var list []string
	for text := range graphemeBreaks(t) {
		all = append(all, []rune(text)...)
		list = append(list, text)
	}
	slices.Sort(list)
	slices.Sort(all)
	for range 3000 {
		var s strings.Builder
		for range 1 + rng.IntN(12) {
			s.WriteRune(all[rng.IntN(len(all))])
		}
		list = append(list, s.String())
	}
	older := 0
	for _, text := range list {
		questions = append(questions, map[string]string{"graphemes": text})
		if uniseg.GraphemeClusterCount(text) != Graphemes(text) {
			older++
		}
	}
	if older == 0 {
		t.Error("the older table counts the same: the texts have no conjuncts")
	}
	for i, answer := range oracle.Ask(t, questions...) {
		var counts [2]*int
		if err := json.Unmarshal(answer, &counts); err != nil {
			t.Fatal(err)
		}
		for j, n := range counts {
			if n != nil && *n != Graphemes(list[i]) {
				t.Errorf("%+q: %d graphemes, %s says %d", list[i], Graphemes(list[i]), []string{"the reference", "Node"}[j], *n)
			}
		}
	}
}
