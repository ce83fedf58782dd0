package repo

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// A source gives the blocks of an archive as they are asked for. When the next block is the one that is asked for, it
// is handed on; what comes before it is stored until it is. Digests are computed on another goroutine, one batch behind
// the reading and one ahead of the asking.
type source struct {
	r      *car.Reader
	budget int64 // what may still be stored

	batch   []section // checked, handed out up to next
	next    int
	ahead   []section // being checked
	spare   []section // memory of a batch that is done
	readErr error     // what ended the reading, io.EOF at the end
	failed  error     // a digest; final
	todo    chan []section
	done    chan error

	stored map[[dagcbor.CIDLen]byte][]byte
	early  bool // something had to be stored
	kept   keeper
}

type section struct {
	raw  [dagcbor.CIDLen]byte
	data []byte
}

// A batch is large enough that handing it over costs nothing.
const (
	batchBytes  = 256 << 10
	batchBlocks = 1024
)

// keepBytes bounds the records that are remembered because another path may have the same one. In streaming order a
// block comes again at every use, but a writer may have put it once.
const keepBytes = 32 << 20

func newSource(r *car.Reader, budget int64) *source {
	s := &source{
		r: r, budget: budget,
		todo: make(chan []section), done: make(chan error, 1),
		stored: map[[dagcbor.CIDLen]byte][]byte{},
	}
	go func() {
		for batch := range s.todo {
			s.done <- digests(batch)
		}
		close(s.done)
	}()
	s.readAhead()
	return s
}

// close ends the goroutine; the reader is nobody's afterwards.
func (s *source) close() {
	close(s.todo)
	for range s.done {
	}
}

func digests(batch []section) error {
	for i := range batch {
		if sha256.Sum256(batch[i].data) != [32]byte(batch[i].raw[4:]) {
			return fmt.Errorf("block %x: %w", batch[i].raw[4:], car.ErrDigest)
		}
	}
	return nil
}

// readAhead reads a batch and gives it to be checked.
func (s *source) readAhead() {
	s.ahead, s.spare = s.spare[:0], nil
	for bytes := 0; s.readErr == nil && bytes < batchBytes && len(s.ahead) < batchBlocks; {
		raw, data, err := s.r.NextUnchecked()
		if err != nil {
			s.readErr = err
			break
		}
		s.ahead = append(s.ahead, section{raw, data})
		bytes += len(data)
	}
	if len(s.ahead) > 0 {
		s.todo <- s.ahead
	}
}

// more makes the next block s.batch[s.next]. At the end of the archive the error is io.EOF.
func (s *source) more() error {
	for s.next == len(s.batch) {
		if s.failed != nil {
			return s.failed
		}
		if len(s.ahead) == 0 {
			return s.readErr
		}
		ready := s.ahead
		if s.failed = <-s.done; s.failed != nil {
			s.ahead = nil
			return s.failed
		}
		clear(s.batch)
		s.spare = s.batch
		s.batch, s.next = ready, 0
		s.readAhead()
	}
	return nil
}

// need gives a block that is needed once: a node or the commit.
func (s *source) need(raw [dagcbor.CIDLen]byte) ([]byte, error) {
	if err := s.more(); err != nil && err != io.EOF {
		return nil, err
	}
	if s.next < len(s.batch) && s.batch[s.next].raw == raw {
		s.next++
		return s.batch[s.next-1].data, nil
	}
	if data, ok := s.stored[raw]; ok {
		return data, nil
	}
	for {
		if err := s.more(); err != nil {
			if err == io.EOF {
				err = ErrIncomplete
			}
			return nil, err
		}
		b := &s.batch[s.next]
		s.next++
		if b.raw == raw {
			return b.data, nil
		}
		if err := s.store(b); err != nil {
			return nil, err
		}
	}
}

// entryBytes is roughly what an entry of the map costs.
const entryBytes = 128

func (s *source) store(b *section) error {
	if _, ok := s.stored[b.raw]; ok {
		return nil
	}
	s.early = true
	if s.budget -= int64(len(b.data)) + entryBytes; s.budget < 0 {
		return ErrOutOfOrder
	}
	s.stored[b.raw] = b.data
	return nil
}

// needShared gives a block that may be needed again: a record.
func (s *source) needShared(raw [dagcbor.CIDLen]byte) ([]byte, error) {
	data, err := s.need(raw)
	if err != nil {
		return nil, err
	}
	if _, ok := s.stored[raw]; !ok {
		s.kept.add(s.stored, raw, data)
	}
	return data, nil
}

// drain reads to the end.
func (s *source) drain() error {
	for {
		if err := s.more(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		s.next = len(s.batch)
	}
}

// A keeper remembers the last records that were used.
type keeper struct {
	queue [][dagcbor.CIDLen]byte
	first int
	bytes int
}

func (k *keeper) add(stored map[[dagcbor.CIDLen]byte][]byte, raw [dagcbor.CIDLen]byte, data []byte) {
	stored[raw] = data
	k.queue = append(k.queue, raw)
	for k.bytes += len(data) + entryBytes; k.bytes > keepBytes; k.first++ {
		old := k.queue[k.first]
		k.bytes -= len(stored[old]) + entryBytes
		delete(stored, old)
	}
	if k.first > len(k.queue)/2 && k.first > 1024 {
		k.queue = append(k.queue[:0], k.queue[k.first:]...)
		k.first = 0
	}
}
