package dagcbor

import (
	"errors"
	"strconv"
)

// Why a block or a JSON text is not a value of the data model. Every error of this package wraps exactly one of them.
var (
	ErrTruncated  = errors.New("dagcbor: input ends inside an item")
	ErrTrailing   = errors.New("dagcbor: bytes after the item")
	ErrNotMinimal = errors.New("dagcbor: head is not in its shortest form")
	ErrIndefinite = errors.New("dagcbor: indefinite length")
	ErrReserved   = errors.New("dagcbor: reserved head")
	ErrFloat      = errors.New("dagcbor: floats are not allowed")
	ErrSimple     = errors.New("dagcbor: simple value is not null, true or false")
	ErrTag        = errors.New("dagcbor: tag is not 42")
	ErrLink       = errors.New("dagcbor: not a valid CID link")
	ErrKeyType    = errors.New("dagcbor: map key is not text")
	ErrKeyOrder   = errors.New("dagcbor: map keys are not in canonical order")
	ErrDuplicate  = errors.New("dagcbor: key occurs twice")
	ErrKeyLength  = errors.New("dagcbor: map key is too long")
	ErrUTF8       = errors.New("dagcbor: text is not valid UTF-8")
	ErrIntRange   = errors.New("dagcbor: integer does not fit 64 signed bits")
	ErrDepth      = errors.New("dagcbor: nested too deeply")
	ErrSize       = errors.New("dagcbor: too large")
	ErrElements   = errors.New("dagcbor: too many elements in one container")
	ErrKind       = errors.New("dagcbor: item is of another kind than expected")
	ErrField      = errors.New("dagcbor: unexpected or missing field")

	ErrJSON       = errors.New("dagcbor: malformed JSON")
	ErrNotObject  = errors.New("dagcbor: a record must be an object")
	ErrBytes      = errors.New("dagcbor: malformed $bytes")
	ErrType       = errors.New("dagcbor: $type must be a non-empty string")
	ErrBlob       = errors.New("dagcbor: malformed blob")
	ErrLegacyBlob = errors.New("dagcbor: legacy blobs are not allowed")
)

// Error says where in the input a rule was broken. It never repeats the input beyond a short, quoted field path.
type Error struct {
	Err    error  // one of the sentinels of this package
	Offset int    // byte offset in the input
	Path   string // field path such as "embed.images[0].image"; JSON input only
}

func (e *Error) Error() string {
	s := e.Err.Error() + " at byte " + strconv.Itoa(e.Offset)
	if e.Path != "" {
		s += " (" + e.Path + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func at(err error, offset int) error { return &Error{Err: err, Offset: offset} }
