package dagcbor

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// ToJSON appends the JSON form of a block: links as {"$link": …}, byte strings
// as {"$bytes": …} in base64 without padding, keys in the block's order, nothing
// escaped that need not be. It takes blocks that passed a Validate; of others it
// refuses what it cannot write and does not look at the order of keys.
//
// spec: data-model#json-representation
func ToJSON(dst, cbor []byte) ([]byte, error) {
	w := jsonWriter{b: cbor, out: dst}
	i, err := w.item(0, MaxDepth)
	if err != nil {
		return dst, at(err, i)
	}
	if i != len(cbor) {
		return dst, at(ErrTrailing, i)
	}
	return w.out, nil
}

type jsonWriter struct {
	b   []byte
	out []byte
}

func (w *jsonWriter) item(i, depth int) (int, error) {
	b := w.b
	if i >= len(b) {
		return i, ErrTruncated
	}
	start := i
	major, n := b[i]>>5, uint64(b[i]&31)
	i++
	if n >= 24 {
		if major == MajorOther {
			return start, otherError(b[start])
		}
		var err error
		if n, i, err = longHead(b, i); err != nil {
			return start, err
		}
	}
	switch major {
	case MajorUint, MajorNeg:
		if n > 1<<63-1 {
			return start, ErrIntRange
		}
		v := int64(n)
		if major == MajorNeg {
			v = ^v
		}
		w.out = strconv.AppendInt(w.out, v, 10)
		return i, nil
	case MajorText:
		if n > uint64(len(b)-i) {
			return start, ErrTruncated
		}
		end := i + int(n)
		return end, w.text(b[i:end])
	case MajorBytes:
		if n > uint64(len(b)-i) {
			return start, ErrTruncated
		}
		end := i + int(n)
		w.out = append(w.out, `{"$bytes":"`...)
		w.out = base64.RawStdEncoding.AppendEncode(w.out, b[i:end])
		w.out = append(w.out, `"}`...)
		return end, nil
	case MajorArray, MajorMap:
		if depth <= 0 {
			return start, ErrDepth
		}
		if major == MajorMap {
			return w.mapping(i, n, depth-1)
		}
		return w.array(i, n, depth-1)
	case MajorTag:
		r := Reader{b: b, i: start}
		raw, err := r.LinkRaw()
		if err != nil {
			return start, ErrLink
		}
		w.out = append(w.out, `{"$link":"`...)
		w.out = AppendCIDText(w.out, raw)
		w.out = append(w.out, `"}`...)
		return r.i, nil
	}
	switch b[start] {
	case byteNull:
		w.out = append(w.out, "null"...)
	case byteTrue:
		w.out = append(w.out, "true"...)
	case byteFalse:
		w.out = append(w.out, "false"...)
	default:
		return start, otherError(b[start])
	}
	return i, nil
}

func (w *jsonWriter) array(i int, n uint64, depth int) (int, error) {
	w.out = append(w.out, '[')
	var err error
	for k := range n {
		if k > 0 {
			w.out = append(w.out, ',')
		}
		if i, err = w.item(i, depth); err != nil {
			return i, err
		}
	}
	w.out = append(w.out, ']')
	return i, nil
}

func (w *jsonWriter) mapping(i int, n uint64, depth int) (int, error) {
	w.out = append(w.out, '{')
	for k := range n {
		if k > 0 {
			w.out = append(w.out, ',')
		}
		if i >= len(w.b) {
			return i, ErrTruncated
		}
		if w.b[i]>>5 != MajorText {
			return i, ErrKeyType
		}
		var err error
		if i, err = w.item(i, depth); err != nil {
			return i, err
		}
		w.out = append(w.out, ':')
		if i, err = w.item(i, depth); err != nil {
			return i, err
		}
	}
	w.out = append(w.out, '}')
	return i, nil
}

const hexDigits = "0123456789abcdef"

// text writes a string. Only what JSON demands is escaped: the answer is
// application/json and never part of a page.
func (w *jsonWriter) text(s []byte) error {
	out := append(w.out, '"')
	for start := 0; ; {
		end, high := plainText(s, start)
		if high && !utf8.Valid(s[start:end]) {
			return ErrUTF8
		}
		out = append(out, s[start:end]...)
		if end == len(s) {
			break
		}
		switch c := s[end]; c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		case '\b':
			out = append(out, '\\', 'b')
		case '\f':
			out = append(out, '\\', 'f')
		default:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		start = end + 1
	}
	w.out = append(out, '"')
	return nil
}
