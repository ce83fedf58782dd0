package dagcbor

import (
	"bytes"
	"strconv"
)

// Limits say what a record written as JSON may be. A field that is zero has the default.
type Limits struct {
	Depth int // containers inside containers; default MaxDepth
	Size  int // bytes of the resulting block; default MaxRecordSize

	// Type, if not empty, is what the record's $type must be; it is added where it is absent.
	Type string

	// Foreign takes what other hosts' records may hold: links with any well-formed CID, blobs in old shapes, and
	// objects that look like something special and are not, which stay objects.
	Foreign bool

	// Kept is the block of the record that this one replaces. What Foreign allows, and another $type than Type, may be
	// said again as that record says it; and if that one is larger than MaxRecordSize, the new one may be of
	// MaxForeignSize. Nothing else changes, so what came from elsewhere can be edited, and new records stay as strict.
	Kept []byte
}

// keptType tells whether value is what the record that is replaced has for its own $type.
func (l *Limits) keptType(value []byte) bool {
	if len(l.Kept) == 0 {
		return false
	}
	r := NewReader(l.Kept)
	n, err := r.Map()
	for ; n > 0 && err == nil; n-- {
		var k, v []byte
		if k, err = r.str(MajorText); err == nil {
			v, err = r.Skip()
		}
		if err == nil && string(k) == "$type" {
			return bytes.Equal(v, value)
		}
	}
	return false
}

// MaxRecordSize is the largest record this server creates, in bytes of DAG-CBOR.
//
// spec: sync#commit-events
const MaxRecordSize = 1_000_000

// MaxForeignSize is the largest record that is taken from another host: what others allow.
const MaxForeignSize = 1 << 20

// maxJSON bounds the text so that offsets fit 32 bits. DAG-CBOR is never much longer than its JSON, so nothing legal
// comes near.
const maxJSON = 64 << 20

func (l Limits) withDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = MaxDepth
	}
	if l.Size <= 0 {
		l.Size = MaxRecordSize
		if len(l.Kept) > MaxRecordSize {
			l.Size = MaxForeignSize
		}
	}
	if l.Kept != nil {
		// As it reads when a client that got it as JSON sends it back.
		text, err := ToJSON(nil, l.Kept)
		if err == nil {
			text, err = FromJSON(text, Limits{Foreign: true, Size: MaxItemSize})
		}
		if err == nil {
			l.Kept = text
		}
	}
	return l
}

// takes tells whether something that new records may not hold may stand here.
func (l *Limits) takes(encoded []byte) bool {
	return l.Foreign || len(l.Kept) > 0 && bytes.Contains(l.Kept, encoded)
}

// A TypeError says that a record's $type is not its collection. It wraps ErrType.
type TypeError struct {
	Want string
	Got  string // at most 64 bytes of it
}

func (e *TypeError) Error() string {
	return "dagcbor: $type: expected " + e.Want + ", got " + strconv.Quote(e.Got)
}

func (e *TypeError) Unwrap() error { return ErrType }

const maxPath = 160

// inside puts a path segment before the path of err.
func inside(err error, segment string) error {
	e, ok := err.(*Error)
	if !ok || len(e.Path)+len(segment) > maxPath {
		return err
	}
	if e.Path != "" && e.Path[0] != '[' {
		segment += "."
	}
	e.Path = segment + e.Path
	return e
}

// segment names a map key in a path: short and harmless ones as they are.
func segment(key []byte) string {
	if len(key) == 0 || len(key) > 40 {
		return "?"
	}
	for _, c := range key {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '$' || c == '_' || c == '-') {
			return "?"
		}
	}
	return string(key)
}
