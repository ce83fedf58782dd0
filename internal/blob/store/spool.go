package store

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

// Spool is an upload while it comes in. A small one is in memory, a larger one in a file that nobody sees.
type Spool struct {
	// What Fill found.
	Size int64
	CID  cid.Cid
	Head []byte // the first bytes, up to HeadSize, until Drop

	create func() (*os.File, string, error) // makes the file, and says its name

	small []byte   // all of it, while there is no file
	file  *os.File // nil: all of it is in small
	path  string   // "" when the file has no name, or not any more
	kept  *[]byte  // the buffer of small, until Drop
	entry *entry   // of a small one that a disk keeps in its journal

	// bypass says that a large upload goes past the page cache: nobody reads it before its sync.
	bypass bool
}

// HeadSize is how many of the first bytes a spool remembers: enough to tell a file's type.
const HeadSize = 512

const (
	// pieceSize is up to where an upload stays in memory: a small one's file is made with one write, under its last name.
	pieceSize = 64 << 10
	// blockSize is what a larger one is read and written in: a write past the page cache waits for the disk, so it
	// should be worth it.
	blockSize = 256 << 10
	// writeOutSize is after how much the kernel is told to begin writing, so that the sync at the end finds little.
	writeOutSize = 512 << 10
)

// Buffers; a large upload has two blocks, and one is hashed and written while the other is read.
var (
	pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}
	blocks = sync.Pool{New: func() any { b := make([]byte, blockSize); return &b }}
)

// Fill takes in what r reads, and hashes it. What is read is written before more is read: a slow disk slows the sender
// down. r's errors are returned as they are; the file's name [ErrFull] or [ErrFailed]; [ErrEmpty].
func (s *Spool) Fill(r io.Reader) error {
	first := pieces.Get().(*[]byte)
	defer func() {
		if s.small == nil {
			pieces.Put(first)
		}
	}()
	buf := *first
	n, err := readFull(r, buf)
	switch {
	case err == io.EOF && n == 0:
		return ErrEmpty
	case err != nil && err != io.EOF:
		return err
	}
	s.Head = buf[:min(n, HeadSize):HeadSize]
	if err == io.EOF {
		sum := sha256.Sum256(buf[:n])
		s.small, s.kept, s.Size, s.CID = buf[:n], first, int64(n), rawCID(sum[:])
		return nil
	}
	s.Head = bytes.Clone(s.Head) // the buffer is used again
	if s.file, s.path, err = s.create(); err != nil {
		return storeError("begin upload", err)
	}
	return s.fillFile(r, buf)
}

// fillFile goes on behind first. What was read is hashed and written side by side, while more is read.
func (s *Spool) fillFile(r io.Reader, first []byte) error {
	h := sha256.New()
	out := writer{file: s.file, direct: s.bypass && setDirect(s.file, true)}
	hashed, written := relay(func(p []byte) error { _, err := h.Write(p); return err }), relay(out.write)
	defer hashed.end()
	defer func() {
		written.end()
		out.end()
	}()
	one, two := blocks.Get().(*[]byte), blocks.Get().(*[]byte)
	defer blocks.Put(one)
	defer blocks.Put(two)
	part, next := (*one)[:copy(*one, first)], *two
	n, err := readFull(r, (*one)[len(part):])
	part = part[:len(part)+n]
	for len(part) > 0 {
		hashed.begin(part)
		written.begin(part)
		s.Size += int64(len(part))
		n = 0
		if err == nil {
			n, err = readFull(r, next)
		}
		_ = hashed.wait() // a hash has no errors
		if werr := written.wait(); werr != nil {
			return storeError("write upload", werr)
		}
		if err != nil && err != io.EOF {
			return err
		}
		part, next = next[:n], part[:cap(part)]
	}
	s.CID = rawCID(h.Sum(nil))
	return nil
}

// relayed is a goroutine that does the same with one part of an upload after the other.
type relayed struct {
	parts chan []byte
	done  chan error
}

func relay(do func([]byte) error) *relayed {
	w := &relayed{parts: make(chan []byte), done: make(chan error)}
	go func() {
		defer close(w.done)
		for p := range w.parts {
			w.done <- do(p)
		}
	}()
	return w
}

func (w *relayed) begin(part []byte) { w.parts <- part }
func (w *relayed) wait() error       { return <-w.done }

// end waits for the goroutine's end. Every begin has had its wait.
func (w *relayed) end() {
	close(w.parts)
	<-w.done
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
func (s *Spool) reader() *io.SectionReader {
	if s.file == nil {
		return io.NewSectionReader(bytes.NewReader(s.small), 0, s.Size)
	}
	return io.NewSectionReader(s.file, 0, s.Size)
}

// ClearLocation takes the place where a picture was taken out of its metadata.
func (s *Spool) ClearLocation() error {
	var f picture.File = memory(s.small)
	if s.file != nil {
		f = s.file
	}
	changed, err := picture.ClearLocation(f, s.Size)
	if err == nil && changed {
		s.CID, err = Digest(s.reader())
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

// Digest is the CID of what r reads.
func Digest(r io.Reader) (cid.Cid, error) {
	h := sha256.New()
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, *buf); err != nil {
		return cid.Undef, err
	}
	return rawCID(h.Sum(nil)), nil
}

// Drop forgets an upload that came to nothing, or whose object has its name.
func (s *Spool) Drop() {
	if s.file != nil {
		_ = s.file.Close()
	}
	if s.path != "" {
		_ = os.Remove(s.path) // a crash leaves it as well: the sweep removes it
	}
	if s.kept != nil {
		pieces.Put(s.kept)
	}
	s.kept, s.small, s.Head = nil, nil, nil
}

// storeError names what a disk refused.
func storeError(what string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%s: %w: %w", what, ErrFull, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrFailed, err)
}
