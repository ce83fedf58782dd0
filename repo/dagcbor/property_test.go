package dagcbor_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/dagcbor/dagcbortest"
	"github.com/bluesky-social/indigo/atproto/atdata"
	"github.com/fxamacker/cbor/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"
)

func sortedKeys(m map[string]any) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
}

// drawValue draws a value of the data model.
func drawValue(t *rapid.T, depth int) any {
	kinds := 7
	if depth > 0 {
		kinds = 10
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3, 4:
		return rapid.String().Draw(t, "text")
	case 5:
		return atdata.Bytes(append([]byte{}, rapid.SliceOfN(rapid.Byte(), 1, 70).Draw(t, "bytes")...))
	case 6:
		return atdata.CIDLink(drawCID(t))
	case 7:
		n := rapid.IntRange(0, 30).Draw(t, "length")
		list := make([]any, n)
		for i := range list {
			list[i] = drawValue(t, depth-1)
		}
		return list
	case 8:
		return atdata.Blob{Ref: atdata.CIDLink(dagcbor.RawCID([]byte{byte(depth)})), MimeType: "image/png",
			Size: rapid.Int64Range(0, 1<<40).Draw(t, "size")}
	}
	return drawMap(t, depth)
}

func drawCID(t *rapid.T) cid.Cid {
	b := rapid.SliceOf(rapid.Byte()).Draw(t, "linked")
	if rapid.Bool().Draw(t, "raw") {
		return dagcbor.RawCID(b)
	}
	return dagcbor.CID(b)
}

func drawMap(t *rapid.T, depth int) map[string]any {
	m := map[string]any{}
	for range rapid.IntRange(0, 30).Draw(t, "fields") {
		k := rapid.OneOf(rapid.StringMatching(`[a-z]{0,6}`), rapid.String()).Draw(t, "key")
		if !strings.HasPrefix(k, "$") && k != "cid" {
			m[k] = drawValue(t, depth-1)
		}
	}
	return m
}

// appendJSON writes JSON as a careless client would: any field order, white
// space, escapes where none are needed.
func appendJSON(t *rapid.T, b []byte, v any) []byte {
	space := func(b []byte) []byte {
		return append(b, rapid.SampledFrom([]string{"", "", "", " ", "\n\t"}).Draw(t, "space")...)
	}
	switch v := v.(type) {
	case string:
		if len(v) < 40 && rapid.Bool().Draw(t, "ascii") {
			b = append(b, '"')
			for _, r := range v {
				if r >= 0x10000 {
					r -= 0x10000
					b = fmt.Appendf(b, `\u%04X\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
				} else {
					b = fmt.Appendf(b, `\u%04x`, r)
				}
			}
			return append(b, '"')
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, text...)
	case int64:
		if rapid.Bool().Draw(t, "point") {
			return fmt.Appendf(b, "%d.0", v)
		}
		return fmt.Appendf(b, "%d", v)
	case atdata.Bytes:
		return fmt.Appendf(b, `{"$bytes":"%s"}`, base64.StdEncoding.EncodeToString(v))
	case atdata.CIDLink:
		return fmt.Appendf(b, `{ "$link" : "%s" }`, v)
	case atdata.Blob:
		return fmt.Appendf(b, `{"mimeType":"%s","ref":{"$link":"%s"},"$type":"blob","size":%d}`, v.MimeType, v.Ref, v.Size)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = space(appendJSON(t, space(b), e))
		}
		return append(b, ']')
	case map[string]any:
		keys := rapid.Permutation(sortedKeys(v)).Draw(t, "order")
		b = append(b, '{')
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(t, space(b), k)
			b = append(space(b), ':')
			b = space(appendJSON(t, b, v[k]))
		}
		return append(b, '}')
	}
	return fmt.Append(b, map[any]string{nil: "null", true: "true", false: "false"}[v])
}

// A tree goes through JSON, the block, the tree again and JSON again, and the
// other encoders agree on the bytes.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMap(t, 4)
		block, err := dagcbor.FromJSON(appendJSON(t, nil, want), dagcbor.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := dagcbor.Validate(block); err != nil {
			t.Fatal(err)
		}
		if plain := encode(nil, want); !bytes.Equal(plain, block) {
			t.Fatalf("got %x\nwant %x", block, plain)
		}
		got, err := dagcbortest.Decode(block)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(any(want), got, gocmp.Comparer(func(a, b atdata.CIDLink) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
		text, err := dagcbor.ToJSON(nil, block)
		if err != nil {
			t.Fatal(err)
		}
		back, err := dagcbor.FromJSON(text, dagcbor.Limits{})
		if err != nil || !bytes.Equal(back, block) {
			t.Fatalf("back: %x, %v", back, err)
		}

		if theirs, err := atdata.MarshalCBOR(want); err != nil || !bytes.Equal(theirs, block) {
			t.Fatalf("indigo: %x, %v\nours: %x", theirs, err, block)
		}
		var tree any
		if err := dagcbor.Unmarshal(block, &tree); err != nil {
			t.Fatalf("fxamacker: %v", err)
		}
		blobs, err := dagcbor.Blobs(block)
		if err != nil || len(blobs) != len(atdata.ExtractBlobs(want)) {
			t.Fatalf("blobs: %v, %v, want %v", blobs, err, atdata.ExtractBlobs(want))
		}

		// One bit changed: refused, or another block that is canonical again.
		if len(block) > 0 {
			broken := bytes.Clone(block)
			i := rapid.IntRange(0, len(block)*8-1).Draw(t, "bit")
			broken[i/8] ^= 1 << (i % 8)
			if tree, err := dagcbortest.Decode(broken); err == nil && !bytes.Equal(encode(nil, tree), broken) {
				t.Fatalf("%x accepted, is not canonical", broken)
			}
		}
	})
}

func TestStructs(t *testing.T) {
	type thing struct {
		Name string       `cbor:"name"`
		Data dagcbor.Link `cbor:"data"`
		Prev dagcbor.Link `cbor:"prev"`
		List []string     `cbor:"list"`
	}
	in := thing{Name: "n", Data: dagcbor.Link{Cid: dagcbor.CID(nil)}}
	b, err := dagcbor.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := encode(nil, map[string]any{"name": "n", "data": atdata.CIDLink(dagcbor.CID(nil)), "prev": nil, "list": []any{}})
	if !bytes.Equal(b, want) {
		t.Errorf("got %x, want %x", b, want)
	}
	var out thing
	if err := dagcbor.Unmarshal(b, &out); err != nil || out.Data != in.Data || out.Prev != in.Prev || out.Name != in.Name {
		t.Errorf("got %+v, %v", out, err)
	}
	if _, err := dagcbor.Marshal(map[string]any{"a": 1.5}); err == nil {
		t.Error("a float was encoded")
	}
	for _, bad := range []string{"\xa1\x61a\xf9\x00\x00", "\xa2\x64name\x61n\x64data\xf6", "\xbf\xff"} {
		if err := dagcbor.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%x decoded", bad)
		}
	}
	if err := dagcbor.Unmarshal(encode(nil, map[string]any{"other": nil}), &out); err == nil {
		t.Error("an unknown field was decoded")
	}
	var numbers struct {
		N int64 `cbor:"n"`
	}
	if err := cbor.Unmarshal([]byte("\xa1\x61n\x18\x01"), &numbers); err != nil {
		t.Fatal(err) // the reason for the scan: fxamacker alone takes it
	}
	if err := dagcbor.Unmarshal([]byte("\xa1\x61n\x18\x01"), &numbers); err == nil {
		t.Error("a head longer than needed was decoded")
	}
}
