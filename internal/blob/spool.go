package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/ipfs/go-cid"
)

// spool is an upload while it comes in: a file that nobody sees.
type spool struct {
	file *os.File
	path string // "" once the file has no name any more
	size int64
	cid  cid.Cid
	head []byte // the first bytes
}

// copyBuffers hold what is between the socket and the file.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// fill copies r into the file and hashes it. What is read is written before more is read: a slow disk slows the sender
// down. r's errors are returned as they are; the file's name [ErrStoreFull] or [ErrStore].
func (s *spool) fill(r io.Reader) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	h := sha256.New()
	n := 0
	for {
		// Whole buffers make fewer calls than what the socket happens to give.
		m, err := r.Read((*buf)[n:])
		n += m
		if n == len(*buf) || err != nil && n > 0 {
			part := (*buf)[:n]
			if len(s.head) < sniffLen {
				s.head = append(s.head, part[:min(n, sniffLen-len(s.head))]...)
			}
			h.Write(part)
			if _, werr := s.file.Write(part); werr != nil {
				return storeError("write upload", werr)
			}
			s.size += int64(n)
			n = 0
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if s.size == 0 {
		return ErrEmpty
	}
	s.cid = rawCID(h.Sum(nil))
	return nil
}

// digest is the CID of what r reads.
func digest(r io.Reader) (cid.Cid, error) {
	h := sha256.New()
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, *buf); err != nil {
		return cid.Undef, err
	}
	return rawCID(h.Sum(nil)), nil
}

// drop forgets an upload that came to nothing, or whose object has its name.
func (s *spool) drop() {
	_ = s.file.Close()
	if s.path != "" {
		_ = os.Remove(s.path) // a crash leaves it as well: the sweep removes it
	}
}

// storeError names what a disk refused.
func storeError(what string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%s: %w: %w", what, ErrStoreFull, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrStore, err)
}
