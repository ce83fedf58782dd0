package syntax

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/vectors"
)

// examples are texts of each format, and texts that are not of it. Those that the interop lists have as well are here
// only where another implementation has them wrong.
var examples = map[*Format]struct{ good, bad []string }{
	DID: {
		[]string{"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:example.com", "did:web:localhost%3A2583", "did:method:val:two", "did:m:v", "did:method:-:_:.:%ab"},
		[]string{"did:", "did:plc:", "did:plc", "DID:plc:x", "did:PLC:x", "did:p1c:x", "did:plc:x:", "did:plc:x%", "did:plc:x/y", "did:plc:x#y", "did:plc:x\n", "did:plc:ü", "did:plc:" + strings.Repeat("x", 2041)},
	},
	Handle: {
		[]string{"a.co", "A.b-c.D0", "xn--ls8h.test", "8.cn", strings.Repeat("a", 63) + ".b", "alice.bsky.social"},
		[]string{"a", "a.", ".a", "a..b", "-a.b", "a-.b", "a.b-", "a.1b", "a_b.c", "a.b\n", "ü.de", strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 126) + "bc"},
	},
	AtIdentifier: {
		[]string{"alice.test", "did:plc:x"},
		[]string{"did:", "DID:plc:x", "alice", "@alice.test", "at://alice.test", strings.Repeat("a.", 126) + "bc"},
	},
	NSID: {
		[]string{"a.b.c", "com.example.fooBar", "Com.EXAMPLE.fooBar", "net.4chan.lex.x1", "a-0.b-1.c", "cn.8.lex.stuff", strings.Repeat("a", 63) + "." + strings.Repeat("b.", 94) + "c.d", "aa." + strings.Repeat("b.", 126) + "c"},
		[]string{"a.b", "a..c", ".a.b.c", "a.b.c.", "1.b.c", "a.b.1c", "a.b.c-d", "a.-b.c", "a.b-.c", "a_b.c.d", "a.b.c#d", "a.b.*", "a.b.ü", "a." + strings.Repeat("b", 64) + ".c", strings.Repeat("a.", 160) + "c"},
	},
	AtURI: {
		[]string{"at://did:plc:x", "at://alice.test/a.b.c", "at://did:plc:x/a.b.c/self", "at://did:plc:x/a.b.c/" + strings.Repeat("k", 512)},
		[]string{"at://", "at:did:plc:x", "AT://did:plc:x", "at://x", "at://did:plc:x/", "at://did:plc:x/a.b", "at://did:plc:x/a.b.c/", "at://did:plc:x/a.b.c/x/", "at://did:plc:x/a.b.c/x/y",
			"at://did:plc:x/a.b.c/.", "at://did:plc:x?a=b", "at://did:plc:x#/a", "at://did:plc:x/a.b.c/%20", "at://did:plc:x\n"},
	},
	CID: {
		[]string{"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a", "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy",
			"zdj7WWeQ43G6JJvLWQWZpyHuAMq6uYWRjkBXFad11vE2LHhQ7", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"},
		[]string{"", "bafy", "x", "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR", "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2b",
			"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2", "bafyrei1fayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a", "nonsense-here", "AAAAAAAA"},
	},
	TID: {
		[]string{"3jzfcijpj2z2a", "7777777777777", "2222222222222", "jzzzzzzzzzzzz"},
		[]string{"", "3jzfcijpj2z2", "3jzfcijpj2z2aa", "3jzfcijpj2z21", "3JZFCIJPJ2Z2A", "kjzfcijpj2z2a", "zzzzzzzzzzzzz", "3jzf-cij-pj2z-2a"},
	},
	RecordKey: {
		[]string{"self", "a", "~1.2-3_", "lang:en", "...", "pre:fix", strings.Repeat("k", 512)},
		[]string{"", ".", "..", "a/b", "a b", "#", "$", "ü", "%41", "a\n", strings.Repeat("k", 513)},
	},
	Datetime: {
		[]string{"1985-04-12T23:20:50.123Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "1985-04-12T23:20:50.12345678901234567890123456789012345678901Z", "0000-01-01T00:00:00Z",
			"1985-04-12T23:20:50+23:59", "1985-04-12T23:20:50-00:01", "0000-01-01T01:00:00+01:00", "9999-12-31T22:59:59-01:00", "9999-12-31T23:59:59.999999Z"},
		[]string{"", "1985-04-12", "1985-04-12T23:20:50", "1985-04-12t23:20:50Z", "1985-04-12T23:20:50z", "1985-04-12 23:20:50Z", "1985-04-12T23:20Z", "1985-04-12T23:20:50.Z",
			"1985-04-12T23:20:50,123Z", "1985-04-12T23:20:50:123Z", "1985-04-12T23:20:50x123Z", "1985-04-12T23:20:50/123Z", // another separator of the fraction
			"1985-04-12T23:20:50+24:00", "1985-04-12T23:20:50+29:00", "1985-04-12T23:20:50+12:60", "1985-04-12T23:20:50-00:00", "1985-04-12T23:20:50+0100", "1985-04-12T23:20:50+1:00",
			"1985-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "1985-04-31T00:00:00Z", "1985-00-01T00:00:00Z", "1985-13-01T00:00:00Z", "1985-04-00T00:00:00Z", "1985-04-12T24:00:00Z",
			"1985-04-12T23:60:00Z", "1985-04-12T23:59:60Z", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "+01985-04-12T23:20:50Z", "-0001-04-12T23:20:50Z",
			"1985-04-12T23:20:50Z\n", "１985-04-12T23:20:50Z", "1985-04-12T23:20:50." + strings.Repeat("1", 50) + "Z"},
	},
	URI: {
		[]string{"https://example.com", "HTTPS://example.com", "git+ssh://example.com/x", "coap+tcp://[::1]:5/", "h323:x", "z39.50r://x", "mailto:a@b.c", "file:///etc/hosts", "urn:isbn:0", "at://alice.test", "did:plc:x",
			"ipfs://bafy", "https://de.wikipedia.org/wiki/Köln", "https://ja.wikipedia.org/wiki/日本語", "https://müller.example/", "https://例え.テスト/引き割り.html#節", "https://example.com/🦋",
			"https://example.com/?q=%E6%97%A5&r={a|b}^`", "https://example.com/100%", "x:y", "https://example.com/#a#b"},
		[]string{"", "https:", "://x", "//x", "example.com", ":x", "1a:x", "+a:x", "a_b:x", "ü:x", "https://a b", "https://a\tb", "https://a\nb", "https://a\x00b", "https://a\u00a0b", "https://a\u2028b",
			"https://a\u3000b", "https://a\u0085b", "https://a\xffb", " https://a", "https://a ", "https://a\ufeffb", "https://example.com/" + strings.Repeat("x", 8200)},
	},
	Language: {
		[]string{"ja", "ban", "pt-BR", "es-419", "zh-Hant", "zh-min-nan", "sl-rozaj-biske", "de-CH-1901", "de-1996-1901", "x-klingon", "X-fr-CH", "en-x-a-x-a", "en-u-co-phonebk-t-en-US", "en-0-ab", "i-default",
			"I-Klingon", "en-GB-oed", "sgn-BE-FR", "art-lojban", "zh-cmn-Hans-CN", "en-US-x-twain", "qaa-Qaaa-QM-x-southern"},
		[]string{"", "j", "jaja", "german", "JA", "Ja", "ja-", "-ja", "ja--JP", "ja_JP", "en-US-US", "de-419-DE", "x", "en-x", "en-u", "en-u-t-ab", "a-DE", "en-abcdefghi", "ja JP", "日本", "i-unknown",
			"de-1901-1901", "en-rozaj-ROZAJ", "en-a-foo-a-bar", "en-u-co-phonebk-U-ca-buddhist", "ar-a-aaa-b-bbb-a-ccc", "en-" + strings.Repeat("a1234567-", 20) + "b"},
	},
}

func TestExamples(t *testing.T) {
	for f, of := range examples {
		for _, s := range of.good {
			if !f.Is(s) {
				t.Errorf("%s: %.100q is refused", f.Name, s)
			}
		}
		for _, s := range of.bad {
			if f.Is(s) {
				t.Errorf("%s: %.100q is taken", f.Name, s)
			}
		}
	}
	for _, s := range examples[Datetime].good {
		if _, ok := ParseDatetime(s); !ok {
			t.Errorf("%s is not read", s)
		}
	}
}

// contrived are words of the interop lists that no CID library reads: this one and the reference's neither.
var contrived = map[string]bool{"mBcDxtdWx0aWhhc2g+": true, "z7x3CtScH765HvShXT": true, "7134036155352661643226414134664076": true}

// TestInterop holds every format against the protocol's lists.
func TestInterop(t *testing.T) {
	for name, f := range map[string]*Format{"atidentifier": AtIdentifier, "aturi": AtURI, "cid": CID, "datetime": Datetime, "did": DID, "handle": Handle, "language": Language,
		"nsid": NSID, "recordkey": RecordKey, "tid": TID, "uri": URI} {
		lists := map[string]bool{"_syntax_valid.txt": true, "_syntax_invalid.txt": false}
		if f == Datetime || f == Language {
			lists["_parse_invalid.txt"] = false
		}
		for list, want := range lists {
			for _, s := range vectors.Lines(t, "syntax", name+list) {
				if f.Is(s) != want && !contrived[s] {
					t.Errorf("%s%s: %.100q", name, list, s)
				}
			}
		}
	}
}

// TestGraphemeBreaks counts what Unicode's own test counts.
func TestGraphemeBreaks(t *testing.T) {
	n := 0
	for text, want := range graphemeBreaks(t) {
		n++
		if got := Graphemes(text); got != want {
			t.Errorf("%+q: %d graphemes, want %d", text, got, want)
		}
	}
	if n != 764 { // two stand there twice
		t.Errorf("%d cases", n)
	}
	for text, want := range map[string]int{"": 0, "abc": 3, "a\r\nb": 3, "\r\n\r\n": 2, "\n\r": 2, "क्षत्रिय": 3, "क्\u200dष": 1, "👨\u200d👩\u200d👧\u200d👦": 1, "🇩🇪🇫🇷": 2, "e\u0301": 1, "각": 1, "ക്ത": 1} {
		if got := Graphemes(text); got != want {
			t.Errorf("%q: %d graphemes, want %d", text, got, want)
		}
	}
}

// graphemeBreaks are Unicode's cases: a text, and its graphemes.
func graphemeBreaks(t *testing.T) map[string]int {
	t.Helper()
	f, err := os.Open("testdata/GraphemeBreakTest.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases := map[string]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		var text strings.Builder
		for _, word := range strings.Fields(line) {
			if word == "÷" || word == "×" {
				continue
			}
			r, err := strconv.ParseInt(word, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			text.WriteRune(rune(r))
		}
		cases[text.String()] = strings.Count(line, "÷") - 1
	}
	return cases
}

func BenchmarkGraphemes(b *testing.B) {
	for name, text := range map[string]string{"ascii": strings.Repeat("hello world ", 25), "hindi": strings.Repeat("क्षत्रिय ", 40), "emoji": strings.Repeat("👨\u200d👩\u200d👧\u200d👦🦋 ", 40)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Graphemes(text)
			}
		})
	}
}
