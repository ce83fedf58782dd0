package car

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/ipfs/go-cid"
)

// Why an archive is refused.
var (
	ErrHeader    = errors.New("car: malformed header")
	ErrVersion   = errors.New("car: version is not 1")
	ErrVarint    = errors.New("car: malformed length")
	ErrTruncated = errors.New("car: archive ends inside a section")
	ErrSection   = errors.New("car: section is too short for a CID")
	ErrCID       = errors.New("car: block is not named by a CIDv1 of SHA-256")
	ErrDigest    = errors.New("car: block does not match its CID")
	ErrLimit     = errors.New("car: archive exceeds a limit")
)

// Limits bound what a Reader takes. A field that is zero has the default.
type Limits struct {
	Header int   // bytes of the header; default 4 KiB, room for about 90 roots
	Block  int   // bytes of one block; default 5 MiB
	Total  int64 // bytes of the whole archive; default 4 GiB
}

// Defaults of Limits.
const (
	DefaultHeader = 4 << 10
	DefaultBlock  = 5 << 20
	DefaultTotal  = 4 << 30
)

func (l Limits) withDefaults() Limits {
	if l.Header <= 0 {
		l.Header = DefaultHeader
	}
	if l.Block <= 0 {
		l.Block = DefaultBlock
	}
	if l.Total <= 0 {
		l.Total = DefaultTotal
	}
	return l
}

// A Reader reads an archive block by block.
type Reader struct {
	r     *bufio.Reader
	lim   Limits
	roots []cid.Cid
	read  int64 // bytes consumed
	slab  []byte
	err   error // sticky
}

// slabSize is what small blocks are carved from: one allocation for hundreds of them. A block that is kept keeps its
// slab alive.
const slabSize = 64 << 10

// NewReader reads the header.
func NewReader(r io.Reader, lim Limits) (*Reader, error) {
	cr := &Reader{r: bufio.NewReaderSize(r, 64<<10), lim: lim.withDefaults()}
	n, err := cr.uvarint()
	if err == io.EOF {
		err = fmt.Errorf("empty archive: %w", ErrTruncated)
	}
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if n > uint64(cr.lim.Header) {
		return nil, fmt.Errorf("read header: %d bytes: %w", n, ErrLimit)
	}
	head, err := cr.take(int(n))
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if cr.roots, err = parseHeader(head); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return cr, nil
}

func parseHeader(b []byte) ([]cid.Cid, error) {
	if err := dagcbor.ValidateForeign(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	r := dagcbor.NewReader(b)
	n, err := r.Map()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	if n == 1 && r.Key("version") == nil {
		return nil, ErrVersion // version 2 opens with {version: 2}
	}
	if n != 2 {
		return nil, fmt.Errorf("%w: %d fields", ErrHeader, n)
	}
	if err := r.Key("roots"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	count, err := r.Array()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	roots := make([]cid.Cid, count)
	for i := range roots {
		if roots[i], err = r.Link(); err != nil {
			return nil, fmt.Errorf("%w: root: %w", ErrHeader, err)
		}
	}
	if err := r.Key("version"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	v, err := r.Int()
	if err != nil {
		return nil, fmt.Errorf("%w: version: %w", ErrHeader, err)
	}
	if v != 1 {
		return nil, ErrVersion
	}
	return roots, nil
}

// Roots are the roots the header names, the newest commit first.
func (r *Reader) Roots() []cid.Cid { return r.roots }

// Next reads the next block and checks its digest. At the end the error is io.EOF; every other error is final. The
// bytes are the caller's to keep.
func (r *Reader) Next() (cid.Cid, []byte, error) {
	raw, data, err := r.NextRaw()
	if err != nil {
		return cid.Undef, nil, err
	}
	c, err := cid.Cast(raw[:])
	if err != nil {
		return cid.Undef, nil, r.fail(fmt.Errorf("%w: %w", ErrCID, err))
	}
	return c, data, nil
}

// NextRaw is Next with the CID in its binary form: 01, the codec (71 dag-cbor or 55 raw), 12 20, the digest.
func (r *Reader) NextRaw() (raw [dagcbor.CIDLen]byte, data []byte, err error) {
	raw, data, err = r.next()
	if err != nil {
		return raw, nil, err
	}
	if sha256.Sum256(data) != [32]byte(raw[4:]) {
		return raw, nil, r.fail(ErrDigest)
	}
	return raw, data, nil
}

// NextUnchecked is NextRaw without the digest, for a caller that computes the digests elsewhere (see repo.Verify, which
// does so on another core).
func (r *Reader) NextUnchecked() (raw [dagcbor.CIDLen]byte, data []byte, err error) {
	return r.next()
}

func (r *Reader) next() (raw [dagcbor.CIDLen]byte, data []byte, err error) {
	if r.err != nil {
		return raw, nil, r.err
	}
	n, err := r.uvarint()
	if err == io.EOF {
		r.err = io.EOF
		return raw, nil, io.EOF
	}
	if err != nil {
		return raw, nil, r.fail(err)
	}
	switch {
	case n < dagcbor.CIDLen:
		// Another kind of CID could be shorter, but no section may be empty and no block of a repository has one.
		if n < 4 {
			return raw, nil, r.fail(ErrSection)
		}
		return raw, nil, r.fail(ErrCID)
	case n-dagcbor.CIDLen > uint64(r.lim.Block):
		return raw, nil, r.fail(fmt.Errorf("block of %d bytes: %w", n, ErrLimit))
	case int64(n) > r.lim.Total-r.read:
		return raw, nil, r.fail(fmt.Errorf("more than %d bytes: %w", r.lim.Total, ErrLimit))
	}
	head, err := r.r.Peek(dagcbor.CIDLen)
	if err != nil {
		return raw, nil, r.fail(cut(err))
	}
	copy(raw[:], head)
	if raw[0] != 1 || (raw[1] != 0x71 && raw[1] != 0x55) || raw[2] != 0x12 || raw[3] != 0x20 {
		return raw, nil, r.fail(ErrCID)
	}
	r.r.Discard(dagcbor.CIDLen)
	r.read += dagcbor.CIDLen
	if data, err = r.take(int(n) - dagcbor.CIDLen); err != nil {
		return raw, nil, r.fail(err)
	}
	return raw, data, nil
}

// fail makes err final and says where it happened.
func (r *Reader) fail(err error) error {
	r.err = fmt.Errorf("archive at byte %d: %w", r.read, err)
	return r.err
}

// cut makes the end of the input an error of ours.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

// uvarint reads a length. io.EOF means that there was not one byte of it.
func (r *Reader) uvarint() (uint64, error) {
	var v uint64
	for i := range 9 {
		c, err := r.r.ReadByte()
		if err != nil {
			if i == 0 {
				return 0, err
			}
			return 0, cut(err)
		}
		r.read++
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if i > 0 && c == 0 {
				return 0, ErrVarint // not the shortest form
			}
			return v, nil
		}
	}
	return 0, ErrVarint
}

// take reads n bytes into memory of their own. A large length is believed only as far as bytes really come.
func (r *Reader) take(n int) ([]byte, error) {
	if n > slabSize/4 {
		return r.takeLarge(n)
	}
	if n > len(r.slab) {
		r.slab = make([]byte, slabSize)
	}
	b := r.slab[:n:n]
	r.slab = r.slab[n:]
	m, err := io.ReadFull(r.r, b)
	r.read += int64(m)
	if err != nil {
		return nil, cut(err)
	}
	return b, nil
}

func (r *Reader) takeLarge(n int) ([]byte, error) {
	b := make([]byte, 0, min(n, slabSize))
	for len(b) < n {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(n, 4*cap(b))), b...)
		}
		m, err := io.ReadFull(r.r, b[len(b):cap(b)])
		b = b[:len(b)+m]
		r.read += int64(m)
		if err != nil {
			return nil, cut(err)
		}
	}
	return b, nil
}
