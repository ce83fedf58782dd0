package dagcbor

import (
	"bytes"
	"unicode/utf8"
)

// What a single item may have at most. These bound other people's blocks; what a client writes is bounded by [Limits]
// as well.
const (
	MaxDepth    = 128       // containers inside containers
	MaxItemSize = 5 << 20   // bytes of one block, of any kind
	MaxElements = 128 << 10 // items of an array, pairs of a map
	MaxKeyLen   = 8 << 10   // bytes of a map key
)

// Validate checks that b is exactly one canonical item whose links are all of the form this server writes (CIDv1, raw
// or dag-cbor, SHA-256). It allocates nothing unless it fails; the error is an [*Error].
func Validate(b []byte) error { return validate(b, false) }

// ValidateForeign is Validate for records of other hosts: a link may hold any well-formed CID of at most MaxCIDLen
// bytes.
//
// spec: data-model#link-and-cid-formats (tolerance towards other CIDs)
func ValidateForeign(b []byte) error { return validate(b, true) }

// ValidateRecord is ValidateForeign for something that must be a record: a map.
func ValidateRecord(b []byte) error {
	if err := validate(b, true); err != nil {
		return err
	}
	if b[0]>>5 != MajorMap {
		return at(ErrNotObject, 0)
	}
	return nil
}

func validate(b []byte, foreign bool) error {
	if len(b) > MaxItemSize {
		return at(ErrSize, MaxItemSize)
	}
	s := scanner{b: b, foreign: foreign}
	i, err := s.item(0, MaxDepth)
	if err != nil {
		return at(err, i)
	}
	if i != len(b) {
		return at(ErrTrailing, i)
	}
	return nil
}

type scanner struct {
	b       []byte
	foreign bool
}

// item checks the item at i and gives the offset behind it. depth is how many containers may still be opened. On an
// error the offset is that of the fault.
func (s *scanner) item(i, depth int) (int, error) {
	b := s.b
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
		return i, nil
	case MajorText:
		if n > uint64(len(b)-i) {
			return start, ErrTruncated
		}
		end := i + int(n)
		if !utf8.Valid(b[i:end]) {
			return start, ErrUTF8
		}
		return end, nil
	case MajorBytes:
		if n > uint64(len(b)-i) {
			return start, ErrTruncated
		}
		return i + int(n), nil
	case MajorArray:
		return s.array(start, i, n, depth)
	case MajorMap:
		return s.mapping(start, i, n, depth)
	case MajorTag:
		if n != 42 {
			return start, ErrTag
		}
		return s.link(start, i)
	}
	if n < 20 || n > 22 { // false, true, null
		return start, otherError(b[start])
	}
	return i, nil
}

func (s *scanner) array(start, i int, n uint64, depth int) (int, error) {
	if err := s.container(i, n, depth, 1); err != nil {
		return start, err
	}
	var err error
	for range n {
		if i, err = s.item(i, depth-1); err != nil {
			return i, err
		}
	}
	return i, nil
}

func (s *scanner) mapping(start, i int, n uint64, depth int) (int, error) {
	if err := s.container(i, n, depth, 2); err != nil {
		return start, err
	}
	b := s.b
	var prev []byte
	for k := range n {
		if i >= len(b) {
			return i, ErrTruncated
		}
		head := i
		size := uint64(b[i]) - 0x60 // wraps far above 23 for anything but short text
		i++
		if size >= 24 {
			if b[head]>>5 != MajorText {
				return head, ErrKeyType
			}
			var err error
			if size, i, err = longHead(b, i); err != nil {
				return head, err
			}
			if size > MaxKeyLen {
				return head, ErrKeyLength
			}
		}
		if size > uint64(len(b)-i) {
			return head, ErrTruncated
		}
		end := i + int(size)
		key := b[i:end]
		if !utf8.Valid(key) {
			return head, ErrUTF8
		}
		if k > 0 {
			if err := keyOrder(prev, key); err != nil {
				return head, err
			}
		}
		prev = key
		var err error
		if i, err = s.item(end, depth-1); err != nil {
			return i, err
		}
	}
	return i, nil
}

// keyOrder checks that b may follow a: shorter first, then bytewise.
//
// spec: RFC 7049 section 3.9
func keyOrder(a, b []byte) error {
	if len(a) != len(b) {
		if len(a) > len(b) {
			return ErrKeyOrder
		}
		return nil
	}
	switch c := bytes.Compare(a, b); {
	case c < 0:
		return nil
	case c == 0:
		return ErrDuplicate
	}
	return ErrKeyOrder
}

// container refuses a count that cannot be true before anyone loops over it: every element takes at least min bytes.
func (s *scanner) container(i int, n uint64, depth int, min uint64) error {
	switch {
	case depth <= 0:
		return ErrDepth
	case n > uint64(len(s.b)-i)/min:
		return ErrTruncated
	case n > MaxElements:
		return ErrElements
	}
	return nil
}

// link checks what follows tag 42: a byte string of a zero byte and a CID.
func (s *scanner) link(start, i int) (int, error) {
	b := s.b
	if i+2+37 <= len(b) && b[i] == 0x58 && b[i+1] == 37 && b[i+2] == 0 && drislCID(b[i+3:i+39]) {
		return i + 39, nil
	}
	if i >= len(b) {
		return start, ErrTruncated
	}
	if b[i]>>5 != MajorBytes {
		return start, ErrLink
	}
	n := uint64(b[i] & 31)
	i++
	if n >= 24 {
		var err error
		if n, i, err = longHead(b, i); err != nil {
			return start, err
		}
	}
	if n > uint64(len(b)-i) {
		return start, ErrTruncated
	}
	raw := b[i : i+int(n)]
	if len(raw) < 2 || raw[0] != 0 {
		return start, ErrLink
	}
	if !drislCID(raw[1:]) && !(s.foreign && foreignCID(raw[1:])) {
		return start, ErrLink
	}
	return i + int(n), nil
}

// longHead reads the argument of a head whose short part says that it follows; i is the offset behind that first byte.
// The shortest form is required.
func longHead(b []byte, i int) (n uint64, next int, err error) {
	rest := b[i:]
	switch ai := b[i-1] & 31; ai {
	case 24:
		if len(rest) < 1 {
			return 0, i, ErrTruncated
		}
		if rest[0] < 24 {
			return 0, i, ErrNotMinimal
		}
		return uint64(rest[0]), i + 1, nil
	case 25:
		if len(rest) < 2 {
			return 0, i, ErrTruncated
		}
		n = uint64(rest[0])<<8 | uint64(rest[1])
		if n <= 0xff {
			return 0, i, ErrNotMinimal
		}
		return n, i + 2, nil
	case 26:
		if len(rest) < 4 {
			return 0, i, ErrTruncated
		}
		n = uint64(rest[0])<<24 | uint64(rest[1])<<16 | uint64(rest[2])<<8 | uint64(rest[3])
		if n <= 0xffff {
			return 0, i, ErrNotMinimal
		}
		return n, i + 4, nil
	case 27:
		if len(rest) < 8 {
			return 0, i, ErrTruncated
		}
		for _, c := range rest[:8] {
			n = n<<8 | uint64(c)
		}
		if n <= 0xffffffff {
			return 0, i, ErrNotMinimal
		}
		return n, i + 8, nil
	case 31:
		return 0, i, ErrIndefinite
	}
	return 0, i, ErrReserved
}

// otherError says why a head of major type 7 is none of null, true and false.
func otherError(head byte) error {
	switch head & 31 {
	case 25, 26, 27:
		return ErrFloat
	case 31:
		return ErrIndefinite
	case 28, 29, 30:
		return ErrReserved
	}
	return ErrSimple
}
