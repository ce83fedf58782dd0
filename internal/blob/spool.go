package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/picture"
)

// spool is an upload while it comes in. A small one is in memory, a larger one in a file that nobody sees.
type spool struct {
	create func() (*os.File, string, error) // makes the file, and says its name

	small []byte   // all of it, while there is no file
	file  *os.File // nil: all of it is in small
	path  string   // "" when the file has no name, or not any more
	size  int64
	cid   cid.Cid
	head  []byte    // the first bytes
	taken []*[]byte // buffers, until drop
}

const (
	// pieceSize is what an upload is read in, and up to where it stays in memory: a small one's file is made with one
	// write, under its last name.
	pieceSize = 64 << 10
	// writeOutSize is after how much the kernel is told to begin writing, so that the sync at the end finds little.
	writeOutSize = 512 << 10
)

// pieces are buffers. An upload that goes on after the first has two: one is hashed and written while the other is read.
var pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

func (s *spool) piece() []byte {
	b := pieces.Get().(*[]byte)
	s.taken = append(s.taken, b)
	return *b
}

// fill takes in what r reads, and hashes it. What is read is written before more is read: a slow disk slows the sender
// down. r's errors are returned as they are; the file's name [ErrStoreFull] or [ErrStore].
func (s *spool) fill(r io.Reader) error {
	buf := s.piece()
	n, err := readFull(r, buf)
	switch {
	case err == io.EOF && n == 0:
		return ErrEmpty
	case err != nil && err != io.EOF:
		return err
	}
	s.head = buf[:min(n, sniffLen):sniffLen]
	if err == io.EOF {
		sum := sha256.Sum256(buf[:n])
		s.small, s.size, s.cid = buf[:n], int64(n), rawCID(sum[:])
		return nil
	}
	s.head = bytes.Clone(s.head) // the buffer is used again
	if s.file, s.path, err = s.create(); err != nil {
		return storeError("begin upload", err)
	}
	return s.fillFile(r, buf)
}

// fillFile goes on behind first, a whole buffer. A large upload is hashed by another processor than the one that copies
// it to the file and reads on.
func (s *spool) fillFile(r io.Reader, first []byte) (err error) {
	h := sha256.New()
	work, done := make(chan []byte), make(chan struct{})
	go func() {
		for part := range work {
			h.Write(part)
			done <- struct{}{}
		}
	}()
	defer close(work)
	part, other := first, s.piece()
	begun := int64(0)
	for n := len(part); n > 0; {
		work <- part[:n]
		_, werr := s.file.Write(part[:n])
		s.size += int64(n)
		if werr == nil && s.size-begun >= writeOutSize {
			writeOut(s.file, begun, s.size-begun)
			begun = s.size
		}
		n = 0
		if werr == nil && err == nil {
			n, err = readFull(r, other)
		}
		<-done // the buffers are ours again
		if werr != nil {
			return storeError("write upload", werr)
		}
		if err != nil && err != io.EOF {
			return err
		}
		part, other = other, part
	}
	s.cid = rawCID(h.Sum(nil))
	return nil
}

// readFull reads until buf is full; io.EOF, beside what came before it, at the end. Whole buffers make fewer calls than
// what the socket happens to give.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// reader reads what came in, from its beginning; any number at once.
func (s *spool) reader() *io.SectionReader {
	if s.file == nil {
		return io.NewSectionReader(bytes.NewReader(s.small), 0, s.size)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

// clearLocation takes the place out of a picture's metadata.
func (s *spool) clearLocation() error {
	var f picture.File = memory(s.small)
	if s.file != nil {
		f = s.file
	}
	changed, err := picture.ClearLocation(f, s.size)
	if err == nil && changed {
		s.cid, err = digest(s.reader())
	}
	if err != nil {
		return storeError("change upload", err)
	}
	return nil
}

// memory is a small upload as a file.
type memory []byte

func (m memory) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(m).ReadAt(p, at) }

func (m memory) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(m)) || len(p) > len(m[at:]) {
		return 0, io.ErrShortWrite
	}
	return copy(m[at:], p), nil
}

// digest is the CID of what r reads.
func digest(r io.Reader) (cid.Cid, error) {
	h := sha256.New()
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, *buf); err != nil {
		return cid.Undef, err
	}
	return rawCID(h.Sum(nil)), nil
}

// drop forgets an upload that came to nothing, or whose object has its name.
func (s *spool) drop() {
	if s.file != nil {
		_ = s.file.Close()
	}
	if s.path != "" {
		_ = os.Remove(s.path) // a crash leaves it as well: the sweep removes it
	}
	for _, b := range s.taken {
		pieces.Put(b)
	}
	s.taken, s.small, s.head = nil, nil, nil
}

// storeError names what a disk refused.
func storeError(what string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%s: %w: %w", what, ErrStoreFull, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrStore, err)
}
