package repodb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/auroralocus/locus/internal/fair"
)

// Sizes of a spool, in bytes. A chunk is what one Write of the reader gets.
const (
	chunkBytes  = 64 << 10
	spoolMemory = 16 * chunkBytes
)

// diskStep is in what steps a spool takes room on the disk.
const diskStep = 16 << 20

// errSpoolFull: the spools of all exports and imports together may not take more of the disk. It is [ErrExportsBusy].
var errSpoolFull = fmt.Errorf("%w: no room in the spool", ErrExportsBusy)

// errAbandoned tells the writing side that nobody reads any more.
var errAbandoned = errors.New("spool abandoned")

// A spool stands between a fast writer and a slow reader: what is not read yet is kept in memory up to spoolMemory,
// then in a file up to a limit, and only then the writer waits.
type spool struct {
	dir   string
	limit int64
	disk  *fair.Bytes // of all spools
	from  fair.Path

	fill []byte // the writer's open chunk

	mu     sync.Mutex
	cond   sync.Cond // anything below changed
	chunks [][]byte  // to be read before the file
	free   [][]byte
	file   *os.File
	room   *fair.Hold // of the disk: as much as the file is long
	in     int64      // written to the file
	out    int64      // read from it
	done   bool
	gone   bool  // nobody reads
	err    error // of the writing side
}

func newSpool(dir string, limit int64, disk *fair.Bytes, from fair.Path) *spool {
	s := &spool{dir: dir, limit: limit, disk: disk, from: from, fill: make([]byte, 0, chunkBytes)}
	s.cond.L = &s.mu
	return s
}

// write adds p, in chunks.
func (s *spool) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), chunkBytes-len(s.fill))
		s.fill = append(s.fill, p[:n]...)
		p = p[n:]
		if len(s.fill) == chunkBytes {
			if err := s.push(); err != nil {
				return err
			}
		}
	}
	return nil
}

// push hands the open chunk over.
func (s *spool) push() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return errAbandoned
		case s.in == s.out && len(s.chunks) < spoolMemory/chunkBytes:
			s.chunks = append(s.chunks, s.fill)
			s.fill = make([]byte, 0, chunkBytes)
			if n := len(s.free); n > 0 {
				s.fill, s.free = s.free[n-1][:0], s.free[:n-1]
			}
			s.cond.Broadcast()
			return nil
		case s.in < s.limit:
			return s.pushFile()
		}
		s.cond.Wait()
	}
}

// pushFile appends the open chunk to the file. It works under the lock: the disk is faster than the reader, or nothing
// would have been spooled.
func (s *spool) pushFile() error {
	if s.room == nil {
		if s.room = s.disk.Try(diskStep, s.from...); s.room == nil {
			return errSpoolFull
		}
	}
	if n := s.in + int64(len(s.fill)); !s.room.Grow((n + diskStep - 1) / diskStep * diskStep) {
		return errSpoolFull
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "locus-export-*")
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		s.file = f
		_ = os.Remove(f.Name()) // the space is freed with the last handle, even after a crash
	}
	if _, err := s.file.WriteAt(s.fill, s.in); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.in += int64(len(s.fill))
	s.fill = s.fill[:0]
	s.cond.Broadcast()
	return nil
}

// finish ends the writing side, with its error if it failed.
func (s *spool) finish(err error) {
	if err == nil && len(s.fill) > 0 {
		err = s.push()
	}
	s.mu.Lock()
	s.done, s.err = true, err
	s.cond.Broadcast()
	s.mu.Unlock()
}

// abandon ends the reading side.
func (s *spool) abandon() {
	s.mu.Lock()
	s.gone = true
	s.cond.Broadcast()
	s.mu.Unlock()
}

// close frees the file. Both sides have ended.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
	s.room.Release()
}

// copyTo writes everything to w as it comes. It fails with w's error, or with the writing side's once all that it gave
// is written.
func (s *spool) copyTo(w io.Writer) error {
	var chunk []byte
	for {
		s.mu.Lock()
		if chunk != nil {
			s.free = append(s.free, chunk)
			chunk = nil
		}
		for len(s.chunks) == 0 && s.in == s.out && !s.done {
			s.cond.Wait()
		}
		switch {
		case len(s.chunks) > 0:
			chunk, s.chunks = s.chunks[0], s.chunks[1:]
		case s.in > s.out:
			chunk = make([]byte, min(chunkBytes, s.in-s.out))
			if _, err := s.file.ReadAt(chunk, s.out); err != nil {
				s.mu.Unlock()
				return fmt.Errorf("spool: %w", err)
			}
			if s.out += int64(len(chunk)); s.out == s.in {
				s.in, s.out = 0, 0 // drained: the file's space is used again
			}
		default:
			err := s.err
			s.mu.Unlock()
			return err
		}
		s.cond.Broadcast()
		s.mu.Unlock()
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
}
