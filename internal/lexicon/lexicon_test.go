package lexicon

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/bluesky-social/indigo/atproto/atdata"
)

const somePost = `{"$type":"app.bsky.feed.post","text":"hello @alice.test, look at https://example.com",
"createdAt":"2026-01-02T03:04:05.678Z","langs":["en"],
"facets":[{"index":{"byteStart":6,"byteEnd":17},"features":[{"$type":"app.bsky.richtext.facet#mention","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz"}]},
{"index":{"byteStart":27,"byteEnd":46},"features":[{"$type":"app.bsky.richtext.facet#link","uri":"https://example.com"}]}],
"reply":{"root":{"uri":"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3jqfcqzm3fo2j","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"},
"parent":{"uri":"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3jqfcqzm3fo2j","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}},
"embed":{"$type":"app.bsky.embed.images","images":[{"alt":"","image":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/png","size":1000}}]}}`

func block(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestDefault(t *testing.T) {
	c := Default()
	for _, nsid := range []string{"app.bsky.feed.post", "app.bsky.actor.profile", "com.atproto.lexicon.schema", "chat.bsky.actor.declaration", "com.germnetwork.declaration"} {
		if !c.Knows(nsid) {
			t.Errorf("%s is not known", nsid)
		}
	}
	for _, nsid := range []string{"com.atproto.repo.createRecord", "app.bsky.feed.defs", "com.example.record", ""} {
		if c.Knows(nsid) {
			t.Errorf("%s is known as a record", nsid)
		}
	}
	if len(c.records) < 20 {
		t.Errorf("%d record types", len(c.records))
	}
}

func TestValidate(t *testing.T) {
	const tid, post = "3jqfcqzm3fo2j", "app.bsky.feed.post"
	for _, tt := range []struct {
		what, nsid, rkey, record string
		mode                     Mode
		status                   Status
		err                      error
		text                     string
	}{
		{"a post", post, tid, somePost, IfKnown, StatusValid, nil, ""},
		{"a post, strict", post, tid, somePost, MustKnow, StatusValid, nil, ""},
		{"unknown", "com.example.record", "self", `{"$type":"com.example.record"}`, IfKnown, StatusUnknown, nil, ""},
		{"unknown, strict", "com.example.record", "self", `{"$type":"com.example.record"}`, MustKnow, StatusUnknown, ErrUnknownType, "Unknown lexicon type: com.example.record"},
		{"a method is no record type", "com.atproto.repo.createRecord", "self", `{"$type":"com.atproto.repo.createRecord"}`, MustKnow, StatusUnknown, ErrUnknownType, "Unknown lexicon type: com.atproto.repo.createRecord"},
		{"required", post, tid, `{"$type":"app.bsky.feed.post","createdAt":"2026-01-02T03:04:05Z"}`, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: text is required"},
		{"other members", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","com.example.more":[1]}`, IfKnown, StatusValid, nil, ""},
		{"datetime without zone", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05"}`, IfKnown, "", ErrInvalid, ""},
		{"datetime of a month 13", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-13-02T03:04:05Z"}`, IfKnown, "", ErrInvalid, ""},
		{"key is no TID", post, "hello", somePost, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: record key must be a TID"},
		{"literal key", "app.bsky.actor.profile", "self", `{"$type":"app.bsky.actor.profile"}`, IfKnown, StatusValid, nil, ""},
		{"other key", "app.bsky.actor.profile", "me", `{"$type":"app.bsky.actor.profile"}`, IfKnown, "", ErrInvalid, `Invalid app.bsky.actor.profile record: record key must be "self"`},
		{"other type", post, tid, `{"$type":"app.bsky.feed.like","text":"","createdAt":"2026-01-02T03:04:05Z"}`, IfKnown, "", ErrInvalid, ""},
		{"open union of something new", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","embed":{"$type":"com.example.embed","a":1}}`, IfKnown, StatusValid, nil, ""},
		{"a link of any script", post, tid, withFacet("https://ja.wikipedia.org/wiki/日本語"), IfKnown, StatusValid, nil, ""},
		{"a link that is none", post, tid, withFacet("日本語"), IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: facets[0].features[0].uri must be a valid URI"},
		{"300 Indic conjuncts", post, tid, withText(strings.Repeat("क्ष", 300)), IfKnown, StatusValid, nil, ""},
		{"301 Indic conjuncts", post, tid, withText(strings.Repeat("क्ष", 301)), IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: text must have at most 300 graphemes"},
		{"languages", post, tid, withLangs(`["x-klingon","sgn-BE-FR","zh-Hant-TW"]`), IfKnown, StatusValid, nil, ""},
		{"a language with a variant twice", post, tid, withLangs(`["de-1901-1901"]`), IfKnown, "", ErrInvalid, ""},
		{"datetime with a comma", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05,1Z"}`, IfKnown, "", ErrInvalid, ""},
		{"several faults: the first of the schema", post, tid, `{"$type":"app.bsky.feed.post","text":1,"createdAt":2,"tags":3,"langs":[4]}`, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: text must be a string"},
		{"a fault, and something missing before it", post, tid, `{"$type":"app.bsky.feed.post","createdAt":2}`, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: text is required"},
		{"a fault deep inside, and one behind it", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":1,"facets":[{"features":[],"index":{"byteStart":-1,"byteEnd":[{"a":[1]}]}}]}`, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: facets[0].index.byteStart must be at least 0"},
		{"a blob where an object stands", post, tid, withEmbed(`{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/png","size":1}`), IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: embed must be an object with a $type"},
		{"null is not absent", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","langs":null}`, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: langs must be an array"},
		{"#main in a union", post, tid, withEmbed(`{"$type":"app.bsky.embed.external#main","external":{"uri":"https://example.com","title":"","description":""}}`), IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: embed has a $type that is not allowed here"},
		{"#main of something new", post, tid, withEmbed(`{"$type":"com.example.embed#main"}`), IfKnown, "", ErrInvalid, ""},
		{"a type of elsewhere in an open union", post, tid, withEmbed(`{"$type":"app.bsky.feed.like"}`), IfKnown, StatusValid, nil, ""},
		{"a token in an open union", post, tid, withEmbed(`{"$type":"app.bsky.feed.defs#requestLess"}`), IfKnown, StatusValid, nil, ""},
		{"a listed type that breaks its schema", post, tid, withEmbed(`{"$type":"app.bsky.embed.external","external":{"uri":"https://example.com"}}`), IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: embed.external.title is required"},
		{"blob of another type", "app.bsky.actor.profile", "self", `{"$type":"app.bsky.actor.profile","avatar":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"text/html","size":10}}`, IfKnown, "", ErrInvalid, ""},
		{"blob too large", "app.bsky.actor.profile", "self", `{"$type":"app.bsky.actor.profile","avatar":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/png","size":1000001}}`, IfKnown, "", ErrInvalid, ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			status, err := Default().Validate(tt.nsid, tt.rkey, block(t, tt.record), tt.mode)
			if status != tt.status || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || tt.text != "" && err.Error() != tt.text {
				t.Errorf("%q, %v", status, err)
			}
		})
	}
}

func withText(text string) string {
	return `{"$type":"app.bsky.feed.post","text":"` + text + `","createdAt":"2026-01-02T03:04:05Z"}`
}

func withLangs(langs string) string {
	return `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","langs":` + langs + `}`
}

func withEmbed(embed string) string {
	return `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","embed":` + embed + `}`
}

func withFacet(uri string) string {
	return `{"$type":"app.bsky.feed.post","text":"x","createdAt":"2026-01-02T03:04:05Z","facets":[{"index":{"byteStart":0,"byteEnd":1},"features":[{"$type":"app.bsky.richtext.facet#link","uri":"` + uri + `"}]}]}`
}

func TestConcurrent(t *testing.T) {
	record := block(t, somePost)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := Default().Validate("app.bsky.feed.post", "3jqfcqzm3fo2j", record, IfKnown); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestInterop runs the record vectors of the interoperability fixtures.
func TestInterop(t *testing.T) {
	catalogue := vectors.Path(t, "lexicon", "catalog", "record.json") // the others refer to documents that are not there
	if catalogue == "" {
		return
	}
	var lines bytes.Buffer
	if err := json.Compact(&lines, read(t, catalogue)); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(lines.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	type vector struct {
		Name, Rkey string
		Data       json.RawMessage
	}
	n := 0
	for name, valid := range map[string]bool{"record-data-valid.json": true, "record-data-invalid.json": false} {
		var all []vector
		vectors.JSON(t, &all, "lexicon", name)
		for _, v := range all {
			n++
			record, err := atdata.UnmarshalJSON(v.Data) // ours takes no blob of another codec, as one of the vectors has
			var block []byte
			if err == nil {
				block, err = atdata.MarshalCBOR(record)
			}
			if err == nil {
				_, err = c.Validate("example.lexicon.record", v.Rkey, block, MustKnow)
			}
			if (err == nil) != valid {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	}
	t.Logf("%d vectors", n)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkValidatePost(b *testing.B) {
	c, record := Default(), block(b, somePost)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Validate("app.bsky.feed.post", "3jqfcqzm3fo2j", record, IfKnown); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateSmallPost(b *testing.B) {
	c, record := Default(), block(b, `{"$type":"app.bsky.feed.post","text":"hello world, this is a post","createdAt":"2026-01-02T03:04:05.678Z","langs":["en"]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Validate("app.bsky.feed.post", "3jqfcqzm3fo2j", record, IfKnown); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCatalogue(b *testing.B) {
	for b.Loop() {
		if _, err := Parse(embedded[indexLine(embedded):]); err != nil {
			b.Fatal(err)
		}
	}
}

func indexLine(b []byte) int {
	for i, c := range b {
		if c == '\n' {
			return i + 1
		}
	}
	return 0
}

func BenchmarkCheckBody(b *testing.B) {
	for name, record := range map[string]string{"post": somePost, "large": withText(strings.Repeat("x", 900_000))} {
		b.Run(name, func(b *testing.B) {
			body := []byte(`{"repo":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","collection":"app.bsky.feed.post","record":` + record + `}`)
			m := Default().Method("com.atproto.repo.createRecord")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := m.CheckBody(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckParams(b *testing.B) {
	m := Default().Method("com.atproto.repo.listRecords")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.CheckParams("repo=did:plc:ewvi7nxzyoun6zhxrhs64oiz&collection=app.bsky.feed.post&limit=50&reverse=true"); err != nil {
			b.Fatal(err)
		}
	}
}
