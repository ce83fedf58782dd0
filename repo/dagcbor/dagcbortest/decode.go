// Package dagcbortest is for tests: blocks as generic trees, which is what other libraries look at.
package dagcbortest

import (
	"github.com/bluesky-social/indigo/atproto/atdata"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// Decode gives the generic tree of a block, in the types of indigo: map[string]any, []any, string, int64, bool, nil,
// [atdata.Bytes], [atdata.CIDLink], and [atdata.Blob] for maps in the exact form of a blob (Size is -1 for a legacy
// one). The block is checked as [dagcbor.ValidateForeign] does. The tree holds no part of b.
func Decode(b []byte) (any, error) {
	if err := dagcbor.ValidateForeign(b); err != nil {
		return nil, err
	}
	r := dagcbor.NewReader(b)
	return decode(&r)
}

// decode reads an item of a checked block; its depth is bounded by the check.
func decode(r *dagcbor.Reader) (any, error) {
	switch r.Major() {
	case dagcbor.MajorUint, dagcbor.MajorNeg:
		return r.Int()
	case dagcbor.MajorBytes:
		b, err := r.Bytes()
		return atdata.Bytes(append([]byte{}, b...)), err
	case dagcbor.MajorText:
		s, err := r.Text()
		return string(s), err
	case dagcbor.MajorTag:
		c, err := r.Link()
		return atdata.CIDLink(c), err
	case dagcbor.MajorArray:
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
	case dagcbor.MajorMap:
		return decodeMap(r)
	}
	if r.Null() {
		return nil, nil
	}
	return r.Bool()
}

func decodeMap(r *dagcbor.Reader) (any, error) {
	at := *r
	if mime, size, ok := r.Blob(); ok {
		return blobAt(at, string(mime), size)
	}
	n, err := r.Map()
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, n)
	for range n {
		k, err := r.Text()
		if err != nil {
			return nil, err
		}
		if m[string(k)], err = decode(r); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// blobAt reads the CID of a blob, which stands first in both of its forms.
func blobAt(r dagcbor.Reader, mimeType string, size int64) (any, error) {
	if _, err := r.Map(); err != nil {
		return nil, err
	}
	if _, err := r.Text(); err != nil {
		return nil, err
	}
	var c cid.Cid
	var err error
	if size < 0 {
		var text []byte
		if text, err = r.Text(); err == nil {
			c, err = cid.Decode(string(text))
		}
	} else {
		c, err = r.Link()
	}
	return atdata.Blob{Ref: atdata.CIDLink(c), MimeType: mimeType, Size: size}, err
}
