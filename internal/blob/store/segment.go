package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type epoch [16]byte

// segment is one file of a journal.
type segment struct {
	file  *os.File
	path  string
	epoch epoch

	// Under journal.mu.
	at      int64 // where the next record begins
	buf     []byte
	open    int // entries that are not settled
	begun   time.Time
	objects []string
	kept    bool // for adoption: nobody knows how an upload ended

	mu      sync.Mutex
	written int64
	synced  int64
	syncing bool
	failed  error
	done    sync.Cond
}

// entry is an upload in a segment.
type entry struct {
	segment *segment
	end     int64
	settled chan struct{}
}

// makeSegment makes a file of its full size, all of it on the disk. A disk that is nearly full is left alone: others,
// Postgres perhaps, need what there is more.
func makeSegment(dir string, size int64) (*segment, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	if free := uint64(fs.Bavail) * uint64(fs.Bsize); free < uint64(size)*segmentShare {
		return nil, fmt.Errorf("make journal: %w: %d bytes are free", ErrFull, free)
	}
	path := filepath.Join(dir, journalPrefix+strings.ToLower(rand.Text()[:16]))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	s := &segment{file: f, path: path, at: segmentHead}
	s.done.L = &s.mu
	locked, err := tryLock(f)
	if err == nil && !locked {
		err = errors.New("a new file is locked")
	}
	for zeros := make([]byte, 1<<20); err == nil && size > 0; size -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(size, int64(len(zeros)))])
	}
	if err == nil {
		err = s.renew()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		s.drop(true)
		return nil, fmt.Errorf("make journal: %w", err)
	}
	return s, nil
}

// renew gives the segment a new epoch: its records count no more.
func (s *segment) renew() error {
	_, _ = rand.Read(s.epoch[:])
	if _, err := s.file.WriteAt(append([]byte(journalMagic), s.epoch[:]...), 0); err != nil {
		return err
	}
	if err := syncData(s.file); err != nil {
		return err
	}
	s.mu.Lock()
	s.written, s.synced = segmentHead, segmentHead
	s.mu.Unlock()
	return nil
}

// drop closes the file, and removes it if nobody needs it any more.
func (s *segment) drop(remove bool) {
	if remove {
		_ = os.Remove(s.path)
	}
	_ = s.file.Close() // and unlocks
}

func (s *segment) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

// write adds a record at s.at.
func (s *segment) write(aid int64, object string, data []byte) error {
	b := append(s.buf[:0], s.epoch[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(aid))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(object)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, []byte(object))
	b = binary.LittleEndian.AppendUint32(b, sum)
	b = append(append(b, object...), data...)
	s.buf = b
	if _, err := s.file.WriteAt(b, s.at); err != nil {
		s.fail(err)
		return err
	}
	s.mu.Lock()
	s.written = s.at + int64(len(b))
	s.mu.Unlock()
	return nil
}

func (s *segment) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// wait returns when the entry is durable. One of those who wait syncs for all. After a sync that failed nobody knows
// what the disk has, so the segment's later entries fail too.
func (e *entry) wait() error {
	s := e.segment
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.synced < e.end {
		switch {
		case s.failed != nil:
			return s.failed
		case s.syncing:
			s.done.Wait()
			continue
		}
		s.syncing = true
		upTo := s.written
		s.mu.Unlock()
		err := syncData(s.file)
		s.mu.Lock()
		s.syncing = false
		if err != nil {
			s.failed = err
		} else {
			s.synced = upTo
		}
		s.done.Broadcast()
	}
	return nil
}
