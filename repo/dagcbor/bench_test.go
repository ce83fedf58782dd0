package dagcbor_test

import (
	"bytes"
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/dagcbor/dagcbortest"
	"github.com/bluesky-social/indigo/api/bsky"
	"github.com/bluesky-social/indigo/atproto/atdata"
	"github.com/fxamacker/cbor/v2"
	"github.com/multiformats/go-multihash"
)

// post is a typical record: facets, an external embed with a thumbnail, a reply.
const post = `{"$type":"app.bsky.feed.post","text":"a post of ordinary length, with a link: example.com/page","createdAt":"2026-03-04T05:06:07.890Z","langs":["en"],` +
	`"facets":[{"index":{"byteStart":41,"byteEnd":57},"features":[{"$type":"app.bsky.richtext.facet#link","uri":"https://example.com/page"}]}],` +
	`"embed":{"$type":"app.bsky.embed.images","images":[{"alt":"","image":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/jpeg","size":10000}}]}}`

func postBlock(b testing.TB) []byte {
	block, err := dagcbor.FromJSON([]byte(post), dagcbor.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	return block
}

func BenchmarkScan(b *testing.B) {
	block := postBlock(b)
	b.Run("locus/Validate", func(b *testing.B) {
		b.SetBytes(int64(len(block)))
		b.ReportAllocs()
		for b.Loop() {
			if err := dagcbor.Validate(block); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fxamacker/Wellformed", func(b *testing.B) {
		b.SetBytes(int64(len(block)))
		b.ReportAllocs()
		for b.Loop() {
			if err := cbor.Wellformed(block); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sha256", func(b *testing.B) {
		b.SetBytes(int64(len(block)))
		for b.Loop() {
			if _, err := multihash.Sum(block, multihash.SHA2_256, -1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("locus/CID", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dagcbor.CID(block)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	block := postBlock(b)
	b.Run("locus/Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dagcbortest.Decode(block); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fxamacker/generic", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m map[string]any
			if err := cbor.Unmarshal(block, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("indigo/atdata", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := atdata.UnmarshalCBOR(block); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("indigo/typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p bsky.FeedPost
			if err := p.UnmarshalCBOR(bytes.NewReader(block)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("locus/Blobs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if refs, err := dagcbor.Blobs(block); err != nil || len(refs) != 1 {
				b.Fatal(refs, err)
			}
		}
	})
}

func BenchmarkFromJSON(b *testing.B) {
	text := []byte(post)
	b.Run("locus", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dagcbor.FromJSON(text, dagcbor.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("indigo/atdata", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			v, err := atdata.UnmarshalJSON(text)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := atdata.MarshalCBOR(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkToJSON(b *testing.B) {
	block := postBlock(b)
	var buf []byte
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = dagcbor.ToJSON(buf[:0], block); err != nil {
			b.Fatal(err)
		}
	}
}
