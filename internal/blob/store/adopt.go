package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ipfs/go-cid"
)

// adoptGate is a file whose lock lets one process adopt at a time.
const adoptGate = ".adopting"

// adoptPoll is how often one who waits for another's adoption looks.
const adoptPoll = 20 * time.Millisecond

// adopt looks after segments whose process is no more. Rows keep their bytes: what the disk does not hold of them is
// written from the segment. Objects without a row go when the segment is older than before, and with them the segment;
// until then a row may come, of a transaction that outlives its client.
//
// One process at a time does it, and others wait: whoever comes back from here may serve.
func (d *disk) adopt(ctx context.Context, before time.Time, has Referrer) error {
	paths, err := filepath.Glob(filepath.Join(d.incoming, journalPrefix+"*"))
	if err != nil || len(paths) == 0 {
		return err
	}
	gate, err := os.OpenFile(filepath.Join(d.incoming, adoptGate), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return storeError("look for old uploads", err)
	}
	defer gate.Close()
	for {
		locked, err := tryLock(gate)
		if err != nil {
			return storeError("look for old uploads", err)
		}
		if locked {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(adoptPoll):
		}
	}
	var failed []error
	for _, path := range paths {
		if err := d.adoptOne(ctx, path, before, has); err != nil {
			failed = append(failed, fmt.Errorf("adopt %s: %w", filepath.Base(path), err))
		}
	}
	return errors.Join(failed...)
}

func (d *disk) adoptOne(ctx context.Context, path string, before time.Time, has Referrer) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // ended meanwhile
	}
	if err != nil {
		return storeError("open journal", err)
	}
	defer f.Close()
	locked, err := tryLock(f)
	if err != nil {
		return storeError("lock journal", err)
	}
	if !locked {
		return nil // its process lives
	}
	info, err := f.Stat()
	if err != nil {
		return storeError("read journal", err)
	}
	if err := d.there(); err != nil {
		return err
	}
	old, waiting := info.ModTime().Before(before), false
	err = readSegment(f, func(r journaled) error {
		there, err := has(ctx, r.aid, r.object, func() error { return d.restore(r) })
		if err != nil || there {
			return err
		}
		if !old {
			waiting = true
			return nil
		}
		if err := os.Remove(d.file(r.object)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storeError("remove old upload", err)
		}
		return nil
	})
	if err != nil || waiting {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storeError("remove journal", err)
	}
	return nil
}

// restore has the disk hold an object that has a row; ErrMissing when the segment does not have it either.
func (d *disk) restore(r journaled) error {
	err := d.whole(r.object)
	if !errors.Is(err, ErrMissing) {
		return err
	}
	want, _ := CIDOf(r.object)
	got, err := Digest(bytes.NewReader(r.data))
	if err != nil || !got.Equals(want) {
		return errors.Join(err, ErrMissing)
	}
	to := d.file(r.object)
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return storeError("restore upload", err)
	}
	f, err := os.CreateTemp(d.incoming, "upload-*")
	if err != nil {
		return storeError("restore upload", err)
	}
	_, err = f.Write(r.data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return storeError("restore upload", err)
	}
	if err := syncFolders(d.root, filepath.Dir(to)); err != nil {
		return storeError("restore upload", err)
	}
	return nil
}

// journaled is a record of a segment.
type journaled struct {
	aid    int64
	object string
	data   []byte // perhaps not what was written: the object's name has the digest
}

// readSegment calls each for every record, in order. What does not look like one is the end.
func readSegment(r io.ReaderAt, each func(journaled) error) error {
	head := make([]byte, len(journalMagic)+len(epoch{}))
	if _, err := r.ReadAt(head, 0); err != nil {
		return notEOF(err)
	}
	if !bytes.HasPrefix(head, []byte(journalMagic)) {
		return nil // its process died while making it
	}
	now := head[len(journalMagic):]
	for at := int64(segmentHead); ; {
		var h [recordHead]byte
		if _, err := r.ReadAt(h[:], at); err != nil {
			return notEOF(err)
		}
		aid := int64(binary.LittleEndian.Uint64(h[16:]))
		nameLen, dataLen := int(binary.LittleEndian.Uint32(h[24:])), int(binary.LittleEndian.Uint32(h[28:]))
		if !bytes.Equal(h[:16], now) || nameLen > maxObjectName || dataLen > pieceSize {
			return nil
		}
		rest := make([]byte, nameLen+dataLen)
		if _, err := r.ReadAt(rest, at+recordHead); err != nil {
			return notEOF(err)
		}
		sum := crc32.Update(crc32.Checksum(h[:recordHead-4], castagnoli), castagnoli, rest[:nameLen])
		if sum != binary.LittleEndian.Uint32(h[recordHead-4:]) {
			return nil
		}
		if object := string(rest[:nameLen]); journalable(object) {
			if err := each(journaled{aid, object, rest[nameLen:]}); err != nil {
				return err
			}
		}
		at += int64(recordHead + len(rest))
	}
}

// maxObjectName bounds the name of an object, in bytes.
const maxObjectName = 1024

// journalable says whether a name is one that NewObject or NewObjectFor gave.
func journalable(object string) bool {
	c, ok := CIDOf(object)
	_, ok2 := SchemaOf(object)
	return ok && ok2 && c.Prefix().Codec == cid.Raw && filepath.IsLocal(filepath.FromSlash(object))
}

// tryLock takes a file's lock, which ends with the process or with the file's last descriptor; false: somebody has it.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return storeError("read journal", err)
}
