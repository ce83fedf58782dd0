package dagcbor

import (
	"github.com/bluesky-social/indigo/atproto/atdata"
	"github.com/ipfs/go-cid"
)

// Decode gives the generic tree of a block, in the types that indigo's lexicon
// validation looks at: map[string]any, []any, string, int64, bool, nil,
// [atdata.Bytes], [atdata.CIDLink], and [atdata.Blob] for maps in the exact form
// of a blob (Size is -1 for a legacy one). The block is checked as
// [ValidateForeign] does. The tree holds no part of b.
func Decode(b []byte) (any, error) {
	if err := validate(b, true); err != nil {
		return nil, err
	}
	r := NewReader(b)
	return decode(&r)
}

// decode reads an item of a checked block; its depth is bounded by the check.
func decode(r *Reader) (any, error) {
	switch r.Major() {
	case MajorUint, MajorNeg:
		return r.Int()
	case MajorBytes:
		b, err := r.Bytes()
		return atdata.Bytes(append([]byte{}, b...)), err
	case MajorText:
		s, err := r.str(MajorText)
		return string(s), err
	case MajorTag:
		c, err := r.Link()
		return atdata.CIDLink(c), err
	case MajorArray:
		n, err := r.Array()
		if err != nil {
			return nil, err
		}
		list := make([]any, n)
		for i := range list {
			if list[i], err = decode(r); err != nil {
				return nil, err
			}
		}
		return list, nil
	case MajorMap:
		return decodeMap(r)
	}
	if r.Null() {
		return nil, nil
	}
	return r.Bool()
}

func decodeMap(r *Reader) (any, error) {
	start := r.i
	n, err := r.Map()
	if err != nil {
		return nil, err
	}
	if n == 4 || n == 2 {
		if blob, ok := decodeBlob(r, n); ok {
			return blob, nil
		}
		r.i = start
		if n, err = r.Map(); err != nil {
			return nil, err
		}
	}
	m := make(map[string]any, n)
	for range n {
		k, err := r.str(MajorText)
		if err != nil {
			return nil, err
		}
		if m[string(k)], err = decode(r); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// decodeBlob reads the n fields behind the head of a map if they are exactly
// those of a blob; keys stand in canonical order.
func decodeBlob(r *Reader, n int) (any, bool) {
	if n == 2 {
		raw, mime, ok := readLegacyBlob(r)
		if !ok {
			return nil, false
		}
		c, err := cid.Cast(raw)
		return atdata.Blob{Ref: atdata.CIDLink(c), MimeType: string(mime), Size: -1}, err == nil
	}
	if !r.isKey("ref") {
		return nil, false
	}
	c, err := r.Link()
	if err != nil || !r.isKey("size") {
		return nil, false
	}
	size, err := r.Int()
	if err != nil || size < 0 || !r.isKey("$type") || !r.isKey("blob") || !r.isKey("mimeType") {
		return nil, false
	}
	mime, err := r.str(MajorText)
	return atdata.Blob{Ref: atdata.CIDLink(c), MimeType: string(mime), Size: size}, err == nil
}

// skipChecked passes over an item of a checked block that is no container.
func (r *Reader) skipChecked() error {
	switch r.Major() {
	case MajorText, MajorBytes:
		_, err := r.str(byte(r.Major()))
		return err
	case MajorTag:
		_, err := r.LinkRaw()
		return err
	case MajorOther:
		r.i++
		return nil
	}
	_, err := r.Int()
	return err
}

// Type is a record's $type, "" if it has none that is text. The block is taken
// as checked.
func Type(cbor []byte) string {
	r := NewReader(cbor)
	n, err := r.Map()
	for ; n > 0 && err == nil; n-- {
		var k []byte
		if k, err = r.str(MajorText); err != nil || len(k) > len("$type") {
			return "" // keys are sorted by length
		}
		if string(k) == "$type" {
			t, err := r.Text()
			if err != nil {
				return ""
			}
			return string(t)
		}
		_, err = r.Skip()
	}
	return ""
}
