package lexicon

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atdata"
)

const somePost = `{"$type":"app.bsky.feed.post","text":"hello @alice.test, look at https://example.com",
"createdAt":"2026-01-02T03:04:05.678Z","langs":["en"],
"facets":[{"index":{"byteStart":6,"byteEnd":17},"features":[{"$type":"app.bsky.richtext.facet#mention","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz"}]},
{"index":{"byteStart":27,"byteEnd":46},"features":[{"$type":"app.bsky.richtext.facet#link","uri":"https://example.com"}]}],
"reply":{"root":{"uri":"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3jqfcqzm3fo2j","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"},
"parent":{"uri":"at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3jqfcqzm3fo2j","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}},
"embed":{"$type":"app.bsky.embed.images","images":[{"alt":"","image":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/png","size":1000}}]}}`

func tree(tb testing.TB, text string) map[string]any {
	tb.Helper()
	m, err := atdata.UnmarshalJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return m
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
		{"required", post, tid, `{"$type":"app.bsky.feed.post","createdAt":"2026-01-02T03:04:05Z"}`, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: required field missing: text"},
		{"other members", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","com.example.more":[1]}`, IfKnown, StatusValid, nil, ""},
		{"datetime without zone", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05"}`, IfKnown, "", ErrInvalid, ""},
		{"datetime of a month 13", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-13-02T03:04:05Z"}`, IfKnown, "", ErrInvalid, ""},
		{"key is no TID", post, "hello", somePost, IfKnown, "", ErrInvalid, "Invalid app.bsky.feed.post record: record key must be a TID"},
		{"literal key", "app.bsky.actor.profile", "self", `{"$type":"app.bsky.actor.profile"}`, IfKnown, StatusValid, nil, ""},
		{"other key", "app.bsky.actor.profile", "me", `{"$type":"app.bsky.actor.profile"}`, IfKnown, "", ErrInvalid, `Invalid app.bsky.actor.profile record: record key must be "self"`},
		{"other type", post, tid, `{"$type":"app.bsky.feed.like","text":"","createdAt":"2026-01-02T03:04:05Z"}`, IfKnown, "", ErrInvalid, ""},
		{"open union of something new", post, tid, `{"$type":"app.bsky.feed.post","text":"","createdAt":"2026-01-02T03:04:05Z","embed":{"$type":"com.example.embed","a":1}}`, IfKnown, StatusValid, nil, ""},
		{"blob of another type", "app.bsky.actor.profile", "self", `{"$type":"app.bsky.actor.profile","avatar":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"text/html","size":10}}`, IfKnown, "", ErrInvalid, ""},
		{"blob too large", "app.bsky.actor.profile", "self", `{"$type":"app.bsky.actor.profile","avatar":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/png","size":1000001}}`, IfKnown, "", ErrInvalid, ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			status, err := Default().Validate(tt.nsid, tt.rkey, tree(t, tt.record), tt.mode)
			if status != tt.status || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || tt.text != "" && err.Error() != tt.text {
				t.Errorf("%q, %v", status, err)
			}
		})
	}
}

func TestConcurrent(t *testing.T) {
	record := tree(t, somePost)
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
	dir := fixtures(t)
	if dir == "" {
		t.Log("no fixtures: 0 vectors")
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "catalog", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := c.add(read(t, f)); err != nil {
			t.Fatal(err)
		}
	}
	type vector struct {
		Name, Rkey string
		Data       json.RawMessage
	}
	n := 0
	for name, valid := range map[string]bool{"record-data-valid.json": true, "record-data-invalid.json": false} {
		var vectors []vector
		if err := json.Unmarshal(read(t, filepath.Join(dir, name)), &vectors); err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			n++
			record, err := atdata.UnmarshalJSON(v.Data)
			if err == nil {
				_, err = c.Validate("example.lexicon.record", v.Rkey, record, MustKnow)
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

// fixtures walks up to shared/fixtures/lexicon; "" when this clone has none.
func fixtures(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		found := filepath.Join(dir, "shared", "fixtures", "lexicon")
		if _, err := os.Stat(found); err == nil {
			return found
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

func BenchmarkValidatePost(b *testing.B) {
	c, record := Default(), tree(b, somePost)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Validate("app.bsky.feed.post", "3jqfcqzm3fo2j", record, IfKnown); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateSmallPost(b *testing.B) {
	c, record := Default(), tree(b, `{"$type":"app.bsky.feed.post","text":"hello world, this is a post","createdAt":"2026-01-02T03:04:05.678Z","langs":["en"]}`)
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
