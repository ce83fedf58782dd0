package car

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/ipfs/go-cid"
)

// ErrUndefinedCID says that a root or a block was given without a CID.
var ErrUndefinedCID = errors.New("car: undefined CID")

// uvarintLen is the length of v as an unsigned varint.
func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// AppendHeader appends the header of an archive with these roots, in this order. No root at all is legal (getBlocks
// answers so).
func AppendHeader(dst []byte, roots ...cid.Cid) []byte {
	dst = binary.AppendUvarint(dst, uint64(headerLen(roots)))
	dst = dagcbor.AppendMapHead(dst, 2)
	dst = dagcbor.AppendText(dst, "roots")
	dst = dagcbor.AppendArrayHead(dst, len(roots))
	for _, c := range roots {
		dst = dagcbor.AppendLink(dst, c)
	}
	dst = dagcbor.AppendText(dst, "version")
	return dagcbor.AppendInt(dst, 1)
}

func headerLen(roots []cid.Cid) int {
	n := len("\xa2\x65roots\x67version\x01") + dagcbor.HeadLen(uint64(len(roots)))
	for _, c := range roots {
		size := c.ByteLen() + 1
		n += 2 + dagcbor.HeadLen(uint64(size)) + size
	}
	return n
}

// HeaderLen is the length of what AppendHeader appends.
func HeaderLen(roots ...cid.Cid) int {
	n := headerLen(roots)
	return uvarintLen(uint64(n)) + n
}

// AppendSection appends one block. The caller vouches for the digest.
func AppendSection(dst []byte, c cid.Cid, data []byte) []byte {
	s := c.KeyString()
	dst = binary.AppendUvarint(dst, uint64(len(s)+len(data)))
	return append(append(dst, s...), data...)
}

// AppendSectionRaw is AppendSection for the binary form of a CID.
func AppendSectionRaw(dst, rawCID, data []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(rawCID)+len(data)))
	return append(append(dst, rawCID...), data...)
}

// SectionLen is the length of a section with a CID of 36 bytes and a block of dataLen bytes, its varint included.
func SectionLen(dataLen int) int {
	n := dagcbor.CIDLen + dataLen
	return uvarintLen(uint64(n)) + n
}

// A Writer writes an archive block by block. It does one Write per block of ordinary size and none later: there is
// nothing to flush or close.
type Writer struct {
	w   io.Writer
	buf []byte
}

// onePiece is the largest block that is copied together with its head so that it costs one Write.
const onePiece = 16 << 10

// NewWriter writes the header.
func NewWriter(w io.Writer, roots ...cid.Cid) (*Writer, error) {
	for _, c := range roots {
		if !c.Defined() {
			return nil, fmt.Errorf("write header: %w", ErrUndefinedCID)
		}
	}
	cw := &Writer{w: w, buf: AppendHeader(make([]byte, 0, 1024), roots...)}
	if _, err := w.Write(cw.buf); err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	return cw, nil
}

// Put writes one block. The caller vouches for the digest.
func (w *Writer) Put(c cid.Cid, data []byte) error {
	if !c.Defined() {
		return fmt.Errorf("write block: %w", ErrUndefinedCID)
	}
	s := c.KeyString()
	w.buf = append(binary.AppendUvarint(w.buf[:0], uint64(len(s)+len(data))), s...)
	return w.flush(data)
}

// PutRaw is Put for the binary form of a CID.
func (w *Writer) PutRaw(rawCID, data []byte) error {
	if len(rawCID) == 0 {
		return fmt.Errorf("write block: %w", ErrUndefinedCID)
	}
	w.buf = append(binary.AppendUvarint(w.buf[:0], uint64(len(rawCID)+len(data))), rawCID...)
	return w.flush(data)
}

func (w *Writer) flush(data []byte) error {
	if len(data) <= onePiece {
		w.buf = append(w.buf, data...)
		data = nil
	}
	if _, err := w.w.Write(w.buf); err != nil {
		return fmt.Errorf("write block: %w", err)
	}
	if data == nil {
		return nil
	}
	if _, err := w.w.Write(data); err != nil {
		return fmt.Errorf("write block: %w", err)
	}
	return nil
}
