package dagcbor_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/dagcbor/dagcbortest"
	"github.com/bluesky-social/indigo/atproto/atdata"
	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

// FuzzCBOR: what the scan accepts, every reader here reads, a general decoder
// finds well formed, and re-encoding the tree gives the same bytes.
func FuzzCBOR(f *testing.F) {
	f.Add(postBlock(f))
	f.Add([]byte("\xa2\x61a\x00\x61b\x80"))
	f.Add([]byte("\x82\xd8\x2a\x44\x00\x01\x55\x00\x18\x20"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, jsonErr := dagcbor.ToJSON(nil, b) // must survive anything
		strict, foreign := dagcbor.Validate(b), dagcbor.ValidateForeign(b)
		if strict == nil && foreign != nil {
			t.Fatalf("%x: strict accepts what tolerant refuses: %v", b, foreign)
		}
		tree, err := dagcbortest.Decode(b)
		if (err == nil) != (foreign == nil) {
			t.Fatalf("%x: Decode: %v, scan: %v", b, err, foreign)
		}
		if foreign != nil {
			return
		}
		if err := cbor.Wellformed(b); err != nil {
			t.Fatalf("%x: accepted, fxamacker: %v", b, err)
		}
		if _, err := dagcbor.Blobs(b); err != nil {
			t.Fatalf("%x: Blobs: %v", b, err)
		}
		if jsonErr != nil || !json.Valid(text) {
			t.Fatalf("%x: ToJSON: %s, %v", b, text, jsonErr)
		}
		if again := encode(nil, tree); !bytes.Equal(again, b) {
			t.Fatalf("%x: encoded again %x", b, again)
		}
		if b[0]>>5 == dagcbor.MajorMap && !bytes.ContainsRune(b, '$') {
			roundTrip(t, b) // with no $ there is nothing that means two things
		}
	})
}

// encode writes a generic tree the slow and obvious way.
func encode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return dagcbor.AppendNull(dst)
	case bool:
		return dagcbor.AppendBool(dst, v)
	case int64:
		return dagcbor.AppendInt(dst, v)
	case string:
		return dagcbor.AppendText(dst, v)
	case atdata.Bytes:
		return dagcbor.AppendBytes(dst, v)
	case atdata.CIDLink:
		return dagcbor.AppendLink(dst, v.CID())
	case atdata.Blob:
		if v.Size < 0 {
			return encode(dst, map[string]any{"cid": v.Ref.String(), "mimeType": v.MimeType})
		}
		return encode(dst, map[string]any{"$type": "blob", "ref": v.Ref, "size": v.Size, "mimeType": v.MimeType})
	case []any:
		dst = dagcbor.AppendArrayHead(dst, len(v))
		for _, e := range v {
			dst = encode(dst, e)
		}
		return dst
	case map[string]any:
		dst = dagcbor.AppendMapHead(dst, len(v))
		for _, k := range sortedKeys(v) {
			dst = encode(dagcbor.AppendText(dst, k), v[k])
		}
		return dst
	}
	panic("unknown type in a tree")
}

// FuzzJSON: what FromJSON accepts is JSON by encoding/json's judgement with the
// same values, canonical by the scan's, and comes back the same from ToJSON.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(post))
	f.Add([]byte(`{"b":[1.0,-2e3,"\ud83d\ude00\n",{"$bytes":"AAE"}],"a":null}`))
	f.Add([]byte(`{"a":{"cid":"` + rawCID + `","mimeType":"a/b"},"$type":"x.y.z"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		block, err := dagcbor.FromJSON(text, dagcbor.Limits{})
		if err != nil {
			if len(err.Error()) > 400 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if err := dagcbor.Validate(block); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		roundTrip(t, block)
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		var plain any
		if err := dec.Decode(&plain); err != nil {
			t.Fatalf("%q: accepted, encoding/json: %v", text, err)
		}
		tree, err := dagcbortest.Decode(block)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(model(t, plain), model(t, tree)); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

// model brings a tree of encoding/json and one of Decode to one form.
func model(t *testing.T, v any) any {
	switch v := v.(type) {
	case json.Number:
		r, ok := new(big.Rat).SetString(v.String())
		if !ok || !r.IsInt() || !r.Num().IsInt64() {
			t.Fatalf("number %s was accepted", v)
		}
		return r.Num().Int64()
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = model(t, v[i])
		}
		return out
	case map[string]any:
		if s, ok := v["$bytes"].(string); ok && len(v) == 1 {
			for len(s) > 0 && s[len(s)-1] == '=' {
				s = s[:len(s)-1]
			}
			b, err := base64.RawStdEncoding.DecodeString(s)
			if err != nil {
				t.Fatalf("$bytes %q was accepted", s)
			}
			return "bytes " + string(b)
		}
		if s, ok := v["$link"].(string); ok && len(v) == 1 {
			return "link " + s
		}
		out := map[string]any{}
		for k, e := range v {
			out[k] = model(t, e)
		}
		return out
	case atdata.Bytes:
		return "bytes " + string(v)
	case atdata.CIDLink:
		return "link " + v.String()
	case atdata.Blob:
		return map[string]any{"$type": "blob", "ref": "link " + v.Ref.String(), "size": v.Size, "mimeType": v.MimeType}
	}
	return v
}
