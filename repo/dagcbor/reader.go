package dagcbor

import (
	"unicode/utf8"

	"github.com/ipfs/go-cid"
)

// A Reader is a cursor over one block, for hand-written decoders. Every method checks the shortest head and the kind;
// key order is the caller's, who asks for the fields in the order they must have (or calls [Validate] first). What it
// returns as []byte points into the block.
//
// The zero Reader is at the end of nothing; use NewReader.
type Reader struct {
	b []byte
	i int
}

// NewReader starts at the first byte of b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Offset is the number of bytes read.
func (r *Reader) Offset() int { return r.i }

// Done fails with ErrTrailing unless everything was read.
func (r *Reader) Done() error {
	if r.i != len(r.b) {
		return at(ErrTrailing, r.i)
	}
	return nil
}

// head reads a head, which must be of the wanted major type.
func (r *Reader) head(want byte) (uint64, error) {
	if r.i >= len(r.b) {
		return 0, at(ErrTruncated, r.i)
	}
	c := r.b[r.i]
	if c>>5 != want {
		return 0, at(ErrKind, r.i)
	}
	if n := c & 31; n < 24 {
		r.i++
		return uint64(n), nil
	}
	n, next, err := longHead(r.b, r.i+1)
	if err != nil {
		return 0, at(err, r.i)
	}
	r.i = next
	return n, nil
}

// Major is the major type of the next item, or -1 at the end.
func (r *Reader) Major() int {
	if r.i >= len(r.b) {
		return -1
	}
	return int(r.b[r.i] >> 5)
}

// Map reads the head of a map and gives the number of its pairs.
func (r *Reader) Map() (int, error) { return r.count(MajorMap, 2) }

// Array reads the head of an array and gives the number of its items.
func (r *Reader) Array() (int, error) { return r.count(MajorArray, 1) }

// count bounds the number by the bytes that are left, so that a caller may allocate for it.
func (r *Reader) count(major byte, min uint64) (int, error) {
	start := r.i
	n, err := r.head(major)
	if err != nil {
		return 0, err
	}
	if n > uint64(len(r.b)-r.i)/min {
		r.i = start
		return 0, at(ErrTruncated, start)
	}
	return int(n), nil
}

func (r *Reader) str(major byte) ([]byte, error) {
	start := r.i
	n, err := r.head(major)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.b)-r.i) {
		r.i = start
		return nil, at(ErrTruncated, start)
	}
	s := r.b[r.i : r.i+int(n) : r.i+int(n)]
	r.i += int(n)
	return s, nil
}

// Text reads a text string and checks its UTF-8.
func (r *Reader) Text() ([]byte, error) {
	start := r.i
	s, err := r.str(MajorText)
	if err == nil && !utf8.Valid(s) {
		r.i = start
		return nil, at(ErrUTF8, start)
	}
	return s, err
}

// Bytes reads a byte string.
func (r *Reader) Bytes() ([]byte, error) { return r.str(MajorBytes) }

// Key reads a map key, which must be want.
func (r *Reader) Key(want string) error {
	start := r.i
	s, err := r.str(MajorText)
	if err != nil {
		return err
	}
	if string(s) != want {
		r.i = start
		return at(ErrField, start)
	}
	return nil
}

// isKey is Key without an error to allocate: it reads the key if it is want.
func (r *Reader) isKey(want string) bool {
	end := r.i + 1 + len(want) // want is short: its head is one byte
	if end > len(r.b) || r.b[r.i] != MajorText<<5|byte(len(want)) || string(r.b[r.i+1:end]) != want {
		return false
	}
	r.i = end
	return true
}

// Int reads an integer.
func (r *Reader) Int() (int64, error) {
	start, major := r.i, byte(MajorUint)
	if r.i < len(r.b) && r.b[r.i]>>5 == MajorNeg {
		major = MajorNeg
	}
	n, err := r.head(major)
	if err != nil {
		return 0, err
	}
	if n > 1<<63-1 {
		r.i = start
		return 0, at(ErrIntRange, start)
	}
	if major == MajorNeg {
		return ^int64(n), nil
	}
	return int64(n), nil
}

// Bool reads true or false.
func (r *Reader) Bool() (bool, error) {
	if r.i < len(r.b) {
		switch r.b[r.i] {
		case byteTrue:
			r.i++
			return true, nil
		case byteFalse:
			r.i++
			return false, nil
		}
	}
	return false, at(ErrKind, r.i)
}

// Null reads null if it is the next item, and tells so.
func (r *Reader) Null() bool {
	if r.i < len(r.b) && r.b[r.i] == byteNull {
		r.i++
		return true
	}
	return false
}

// LinkRaw reads a link and gives the binary form of its CID, which is well formed but may be of any codec and hash.
func (r *Reader) LinkRaw() ([]byte, error) {
	b, i := r.b, r.i
	if i+LinkLen <= len(b) && string(b[i:i+5]) == linkHead && drislCID(b[i+5:i+LinkLen]) {
		r.i += LinkLen
		return b[i+5 : i+LinkLen : i+LinkLen], nil
	}
	n, err := r.head(MajorTag)
	if err != nil {
		return nil, err
	}
	if n != 42 {
		r.i = i
		return nil, at(ErrTag, i)
	}
	raw, err := r.str(MajorBytes)
	if err != nil {
		r.i = i
		return nil, at(ErrLink, i)
	}
	if len(raw) < 2 || raw[0] != 0 || !foreignCID(raw[1:]) {
		r.i = i
		return nil, at(ErrLink, i)
	}
	return raw[1:], nil
}

// Link reads a link to a CID of any kind.
func (r *Reader) Link() (cid.Cid, error) {
	start := r.i
	raw, err := r.LinkRaw()
	if err != nil {
		return cid.Undef, err
	}
	c, err := cid.Cast(raw)
	if err != nil {
		r.i = start
		return cid.Undef, at(ErrLink, start)
	}
	return c, nil
}

// Digest reads a link to a block of a repository (CIDv1, dag-cbor, SHA-256) and gives the digest.
func (r *Reader) Digest() (*[32]byte, error) {
	start := r.i
	raw, err := r.LinkRaw()
	if err != nil {
		return nil, err
	}
	if len(raw) != CIDLen || string(raw[:4]) != cborPrefix {
		r.i = start
		return nil, at(ErrLink, start)
	}
	return (*[32]byte)(raw[4:]), nil
}

// Skip reads any one item, checked as [ValidateForeign] does, and gives its bytes.
func (r *Reader) Skip() ([]byte, error) {
	s := scanner{b: r.b, foreign: true}
	end, err := s.item(r.i, MaxDepth)
	if err != nil {
		return nil, at(err, end)
	}
	b := r.b[r.i:end:end]
	r.i = end
	return b, nil
}

// Pass goes over one item of a checked block, without checking it again.
func (r *Reader) Pass() error {
	for left := 1; left > 0; left-- {
		switch r.Major() {
		case MajorMap:
			n, err := r.Map()
			if err != nil {
				return err
			}
			left += 2 * n
		case MajorArray:
			n, err := r.Array()
			if err != nil {
				return err
			}
			left += n
		default:
			if err := r.skipChecked(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Type is the $type of the map that is the next item, "" if it has none that is text, or is no map. The block is taken
// as checked. Nothing is read.
func (r *Reader) Type() string {
	at := *r
	n, err := at.Map()
	for ; n > 0 && err == nil; n-- {
		var k []byte
		if k, err = at.str(MajorText); err != nil || len(k) > len("$type") {
			return "" // keys are sorted by length
		}
		if string(k) == "$type" {
			t, err := at.Text()
			if err != nil {
				return ""
			}
			return string(t)
		}
		err = at.Pass()
	}
	return ""
}

// Blob reads the next item if it is a map in the exact form of a blob, and tells so. Of a legacy one the size is -1.
func (r *Reader) Blob() (mimeType []byte, size int64, ok bool) {
	at := *r
	n, err := at.Map()
	switch {
	case err != nil:
		return nil, 0, false
	case n == 2:
		raw, mime, ok := readLegacyBlob(&at)
		if ok {
			_, err = cid.Cast(raw)
		}
		if !ok || err != nil {
			return nil, 0, false
		}
		*r = at
		return mime, -1, true
	case n != 4 || !at.isKey("ref"):
		return nil, 0, false
	}
	if _, err = at.LinkRaw(); err != nil || !at.isKey("size") {
		return nil, 0, false
	}
	if size, err = at.Int(); err != nil || size < 0 || !at.isKey("$type") || !at.isKey("blob") || !at.isKey("mimeType") {
		return nil, 0, false
	}
	if mimeType, err = at.str(MajorText); err != nil {
		return nil, 0, false
	}
	*r = at
	return mimeType, size, true
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

// Type is a record's $type, "" if it has none that is text. The block is taken as checked.
func Type(cbor []byte) string {
	r := NewReader(cbor)
	return r.Type()
}
