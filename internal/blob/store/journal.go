package store

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// journal makes small uploads durable. A new file costs the disk several writes in several places; the same bytes at the
// end of a file that has its size already cost one, and uploads of the same moment share it. So a small upload's object
// is written as an ordinary file that nobody syncs, and beside it into a segment, which is synced. When a segment is
// full or some seconds old, all its objects are made durable at once, and the segment is used again.
//
//	.incoming/journal-<random>    one segment, locked (flock) by the process that writes it
//
//	header    magic, epoch                                                  the rest of 4 KiB is empty
//	record    epoch, aid, lengths of name and bytes, CRC-32C of all that and of the name, name, bytes
//
// A record counts when its epoch is the header's: a segment that is used again gets another. Its bytes count when their
// digest is the one in the object's name.
//
// What a dead process leaves is adopted (adopt.go): objects with a row are restored from the segment if the disk does
// not hold them, objects without one go.
type journal struct {
	dir   string       // of the segments
	root  string       // what the names of objects are relative to
	there func() error // says whether root is still what it was; nil: it is
	cfg   JournalConfig

	mu       sync.Mutex
	folder   *os.File // root, open as long as there are segments: it tells of errors from then on
	seen     int
	current  *segment
	free     []*segment
	segments int // current, free, those that wait for their end, and the one that is being made
	making   bool
	pending  map[string]*entry // by object, until settled
	refused  time.Time         // when no segment could be made
	working  int               // goroutines that make or end segments
	ended    *sync.Cond        // working went down, or a segment has no open entry any more
	idler    *time.Timer
	closed   bool
}

// JournalConfig is how disks keep small uploads. The zero value is for production.
type JournalConfig struct {
	// After is how many small uploads a process keeps without a journal: a tool that keeps three needs none. Default 16;
	// -1: none.
	After int
	// Size of a segment in bytes. Default 16 MiB.
	Size int64
	// Idle is how long a segment lasts that does not get full. Default 15 s.
	Idle time.Duration
}

const (
	journalPrefix = "journal-"
	journalMagic  = "locus blob journal 1\n"
	segmentSize   = 16 << 20
	// maxSegments bounds what a process holds on disk. Uploads that find none are synced one by one.
	maxSegments = 4
	// segmentShare is how many segments must fit into what is free on the disk for one to be made.
	segmentShare = 16
	segmentIdle  = 15 * time.Second
	journalAfter = 16
	// journalRetry is how long a disk that refused a segment is not asked for one.
	journalRetry = time.Minute

	segmentHead = 4096
	recordHead  = 16 + 8 + 4 + 4 + 4
)

func newJournal(root, dir string, cfg JournalConfig) *journal {
	cfg.After, cfg.Size, cfg.Idle = cmp.Or(cfg.After, journalAfter), cmp.Or(cfg.Size, segmentSize), cmp.Or(cfg.Idle, segmentIdle)
	j := &journal{root: root, dir: dir, cfg: cfg, pending: map[string]*entry{}}
	j.ended = sync.NewCond(&j.mu)
	return j
}

// append writes an upload into the journal; from then on, adoption knows the object. nil: there is no segment for it
// now. It is durable after entry.wait.
func (j *journal) append(aid int64, object string, data []byte) *entry {
	n := int64(recordHead + len(object) + len(data))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.seen++; j.closed || j.seen <= j.cfg.After || n > j.cfg.Size-segmentHead {
		return nil
	}
	s := j.current
	if s != nil && s.at+n > j.cfg.Size {
		j.end(s)
		s = nil
	}
	if s == nil {
		if s = j.next(); s == nil {
			return nil
		}
		j.current = s
		s.begun = time.Now()
		if j.idler == nil {
			j.idler = time.AfterFunc(j.cfg.Idle, j.endIdle)
		}
	}
	if err := s.write(aid, object, data); err != nil {
		// Nothing behind a record that is perhaps not whole is found again.
		j.end(s)
		return nil
	}
	s.at += n
	s.open++
	s.objects = append(s.objects, object)
	e := &entry{segment: s, end: s.at, settled: make(chan struct{})}
	j.pending[object] = e
	return e
}

// next takes a free segment, and has one more made for those that come when it is full.
func (j *journal) next() *segment {
	var s *segment
	if n := len(j.free); n > 0 {
		s = j.free[n-1]
		j.free = j.free[:n-1]
	}
	if len(j.free) == 0 && !j.making && j.segments < maxSegments && time.Since(j.refused) > journalRetry {
		if j.folder == nil {
			var err error
			if j.folder, err = os.Open(j.root); err != nil {
				j.refused = time.Now()
				return s
			}
		}
		j.segments++
		j.making = true
		j.work(func() {
			made, err := makeSegment(j.dir, j.cfg.Size)
			j.mu.Lock()
			defer j.mu.Unlock()
			j.making = false
			if err != nil {
				j.refused = time.Now()
				j.segments--
				return
			}
			j.free = append(j.free, made)
		})
	}
	return s
}

// work runs do on the side; j.mu is held by the caller, not by do.
func (j *journal) work(do func()) {
	j.working++
	go func() {
		do()
		j.mu.Lock()
		j.working--
		j.ended.Broadcast()
		j.mu.Unlock()
	}()
}

// rest waits for what goes on on the side; j.mu is held.
func (j *journal) rest() {
	for j.working > 0 {
		j.ended.Wait()
	}
}

// endIdle ends a segment that has lasted long enough.
func (j *journal) endIdle() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.idler = nil
	if s := j.current; s != nil && !j.closed {
		if left := j.cfg.Idle - time.Since(s.begun); left > 0 {
			j.idler = time.AfterFunc(left, j.endIdle)
			return
		}
		j.end(s)
	}
}

// end takes no more into the current segment. When its last entry is settled its objects are made durable; then it is
// free, or, when there is one already or it cannot be trusted, goes.
func (j *journal) end(s *segment) {
	j.current = nil
	j.work(func() {
		j.mu.Lock()
		for s.open > 0 {
			j.ended.Wait()
		}
		objects, broken := s.objects, s.broken()
		j.mu.Unlock()
		err := j.makeDurable(s, objects)
		if err == nil && !broken && !s.kept {
			err = s.renew()
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if err == nil && !broken && len(j.free) == 0 && !s.kept && !j.closed {
			s.at, s.objects = segmentHead, nil
			j.free = append(j.free, s)
			return
		}
		j.segments--
		s.drop(err == nil && !s.kept)
	})
}

// makeDurable has the disk hold what a segment's objects are.
func (j *journal) makeDurable(s *segment, objects []string) error {
	if len(objects) == 0 {
		return nil
	}
	if j.there != nil {
		if err := j.there(); err != nil {
			return err // what is not there need not have been deleted
		}
	}
	if err := syncAll(j.folder); err != nil {
		// What failed may be somebody else's file: each of ours tells.
		for _, o := range objects {
			if err := j.syncObject(o); err != nil {
				return err
			}
		}
	}
	// A file system may leave the last of it in the disk's cache, which a sync of one file empties.
	return s.file.Sync()
}

// syncObject syncs an object that is still there, and the folders that lead to it.
func (j *journal) syncObject(object string) error {
	path := filepath.Join(j.root, filepath.FromSlash(object))
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return syncFolders(j.root, filepath.Dir(path))
}

// syncFolders syncs a folder and those above it, up to root.
func syncFolders(root, path string) error {
	for ; len(path) >= len(root); path = filepath.Dir(path) {
		if err := syncFolder(path); err != nil {
			return err
		}
		if path == root {
			break
		}
	}
	return nil
}

// has says whether an upload that has not ended is in a segment.
func (j *journal) has(object string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pending[object] != nil
}

// settle forgets an entry whose upload has ended one way or the other; false: the object is in no segment.
func (j *journal) settle(object string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.pending[object]
	if e == nil {
		return false
	}
	delete(j.pending, object)
	close(e.settled)
	if e.segment.open--; e.segment.open == 0 {
		j.ended.Broadcast()
	}
	return true
}

// settledIn waits for an upload of this process to end; false: it takes longer.
func (j *journal) settledIn(ctx context.Context, object string, d time.Duration) (bool, error) {
	j.mu.Lock()
	e := j.pending[object]
	j.mu.Unlock()
	if e == nil {
		return true, nil
	}
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-e.settled:
		return true, nil
	case <-late.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// close ends all segments and waits for it. A segment stays for adoption when its objects cannot be made durable, or when
// an upload in it has not ended.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.idler != nil {
		j.idler.Stop()
		j.idler = nil
	}
	for object, e := range j.pending {
		delete(j.pending, object)
		close(e.settled)
		e.segment.open--
		e.segment.kept = true
	}
	j.ended.Broadcast()
	if j.current != nil {
		j.end(j.current)
	}
	j.rest()
	for _, s := range j.free {
		s.drop(true)
	}
	j.free, j.segments = nil, 0
	if j.folder != nil {
		_ = j.folder.Close()
		j.folder = nil
	}
}
