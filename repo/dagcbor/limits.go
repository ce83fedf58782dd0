package dagcbor

import "strconv"

// Limits say what a record written as JSON may be. A field that is zero has the
// default.
type Limits struct {
	Depth int // containers inside containers; default MaxDepth
	Size  int // bytes of the resulting block; default MaxRecordSize

	// Type, if not empty, is what the record's $type must be; it is added where
	// it is absent.
	Type string

	// AnyCID allows $link to hold any well-formed CID, as records of other
	// hosts may. What this server creates links with CIDv1, raw or dag-cbor,
	// SHA-256.
	AnyCID bool

	// LegacyBlobs allows {cid, mimeType} where a blob is meant.
	LegacyBlobs bool
}

// MaxRecordSize is the largest record this server creates, in bytes of DAG-CBOR.
//
// spec: sync#limits
const MaxRecordSize = 1_000_000

// maxJSON bounds the text so that offsets fit 32 bits. DAG-CBOR is never much
// longer than its JSON, so nothing legal comes near.
const maxJSON = 64 << 20

func (l Limits) withDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = MaxDepth
	}
	if l.Size <= 0 {
		l.Size = MaxRecordSize
	}
	return l
}

// A TypeError says that a record's $type is not its collection. It wraps
// ErrType.
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
