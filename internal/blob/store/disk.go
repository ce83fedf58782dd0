package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// disk keeps objects as files under root, in folders by their names.
//
// A large upload begins as .incoming/upload-<random>. When it is whole it gets the name .incoming/<schema>,<aid>,<shard>,…
// — its mark, which says what it is to become — and a second name (a hard link) at its place. From then on every process
// sees it, so its row may be inserted while its bytes and its names are synced; the client hears after both, and then
// the mark goes. As long as there is a mark, the bytes are not trusted: uploading them again does not rely on them, and
// the sweep, which asks for each old mark whether there is a row, hashes and syncs them before it takes the mark away,
// or takes the row away when they are not there.
//
// A small upload goes into the journal (journal.go), which is synced in place of the file and says what a mark does. The
// file is written beside it. Where there is no journal, it begins with a mark.
//
// When the process dies (kill -9), files stay as they were written, synced or not:
//
//	before the link               a mark or an unfinished file, which the sweep removes
//	before the row                a mark or a record of the journal, and an object, which the sweep removes
//	before the sync               row, object and mark: the sweep completes the upload. In the journal: whoever adopts it
//	before the mark goes          the same
//
// When the machine dies, what was not synced may be there, be there in part, or not be there, and the row likewise:
//
//	before both are done          Nobody was told that the upload succeeded. Without the row, a mark, a record or an
//	                              unfinished file is swept, and the link, made after the mark, is not there without it.
//	                              With the row, and not the bytes, what happens depends on the mark or the record. If it is
//	                              there, the row goes (a record whose bytes are whole restores them). If not, the row is
//	                              one of a temporary blob which expires; uploading the same bytes again finds that they
//	                              are not there and heals it; verify tells it.
//	after both                    The bytes and the row are durable, and so is the bytes' name, or the record that restores
//	                              it before anybody reads (recover). A mark that came back is swept.
type disk struct {
	root     string
	incoming string
	journal  *journal
	label    atomic.Pointer[string] // the file that says that the folder is there
	settling settling
}

const incomingFolder = ".incoming"

// newDisk touches nothing: see prepare.
func newDisk(root string, cfg JournalConfig) *disk {
	d := &disk{root: root, incoming: filepath.Join(root, incomingFolder)}
	d.journal = newJournal(d.root, d.incoming, cfg)
	d.journal.there = d.there
	return d
}

func (d *disk) file(object string) string { return filepath.Join(d.root, filepath.FromSlash(object)) }

func (d *disk) mark(aid int64, object string) string {
	schema, rest, _ := strings.Cut(object, "/")
	return filepath.Join(d.incoming, schema+","+strconv.FormatInt(aid, 10)+","+strings.ReplaceAll(rest, "/", ","))
}

// parseMark is the reverse of mark.
func parseMark(name string) (aid int64, object string, ok bool) {
	parts := strings.SplitN(name, ",", 3)
	if len(parts) != 3 {
		return 0, "", false
	}
	aid, err := strconv.ParseInt(parts[1], 10, 64)
	return aid, parts[0] + "/" + strings.ReplaceAll(parts[2], ",", "/"), err == nil
}

func (d *disk) Announced() bool { return false }

// Presign: nobody but this program serves a folder.
func (d *disk) Presign(context.Context, string, string, string, time.Duration) (string, error) {
	return "", nil
}

func (d *disk) NewSpool() *Spool {
	return &Spool{bypass: true, create: func() (*os.File, string, error) {
		f, err := os.CreateTemp(d.incoming, "upload-*")
		if err != nil {
			return nil, "", errors.Join(d.there(), err)
		}
		return f, f.Name(), nil
	}}
}

func (d *disk) Put(_ context.Context, aid int64, object string, s *Spool) error {
	if err := d.there(); err != nil {
		return err
	}
	if s.file == nil {
		if s.entry = d.journal.append(aid, object, s.small); s.entry != nil {
			err := d.writeNew(d.file(object), s.small)
			if err != nil {
				d.Discard(context.Background(), aid, object)
				return storeError("store upload", err)
			}
			return nil
		}
	}
	mark, path := d.mark(aid, object), d.file(object)
	if err := s.become(mark); err != nil {
		return storeError("mark upload", err)
	}
	err := os.Link(mark, path)
	for range 10 { // another upload's end may take the empty folder away again
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = d.makeFolder(filepath.Dir(path)); err == nil {
			err = os.Link(mark, path)
		}
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		// A file system without hard links: the object has one name at a time, and nothing says that it is doubtful. So
		// it is made durable at once, and a crash in the next millisecond leaves an object that only verify finds.
		if err = os.Rename(mark, path); err == nil {
			err = d.Sync(object, s)
		}
	}
	if err != nil {
		d.Discard(context.Background(), aid, object)
		return storeError("store upload", err)
	}
	return nil
}

// become gives an upload its mark, in place of the name that it came in under, if it has a file already.
func (s *Spool) become(mark string) error {
	if s.file != nil {
		err := os.Rename(s.path, mark)
		if err == nil {
			s.path = "" // from here the mark tells
		}
		return err
	}
	f, err := os.OpenFile(mark, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(s.small); err != nil {
		_ = f.Close()
		_ = os.Remove(mark)
		return err
	}
	s.file = f
	return nil
}

// writeNew makes a file that nobody syncs, and the folders it needs.
func (d *disk) writeNew(path string, data []byte) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(path, flags, 0o600)
	for range 10 { // another upload's end may take the empty folder away again
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.MkdirAll(filepath.Dir(path), 0o750); err == nil {
			f, err = os.OpenFile(path, flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func (d *disk) Sync(object string, s *Spool) error {
	var err error
	if s.entry != nil {
		if s.entry.wait() == nil {
			return d.there()
		}
		err = d.journal.syncObject(object) // the journal's trouble need not be the upload's
	} else if err = s.file.Sync(); err == nil {
		err = syncFolder(filepath.Dir(d.file(object)))
	}
	if err != nil {
		return storeError("sync upload", err)
	}
	return d.there() // or it went into a folder that a disk will be mounted on
}

// Settle takes a mark away while the client hears already that the upload is there.
func (d *disk) Settle(aid int64, object string) {
	if !d.journal.settle(object) {
		mark := d.mark(aid, object)
		d.settling.begin(func() { _ = os.Remove(mark) })
	}
}

func (d *disk) Discard(_ context.Context, aid int64, object string) {
	_ = os.Remove(d.file(object))
	if !d.journal.settle(object) { // last: as long as it is not, the sweep comes back
		_ = os.Remove(d.mark(aid, object))
	}
}

func (d *disk) Doubt(aid int64, object string) {
	if d.journal.has(object) {
		// Its segment will not last that long. Without the link (no room, say) only verify finds what is left over.
		_ = os.Link(d.file(object), d.mark(aid, object))
		d.journal.settle(object)
	}
}

func (d *disk) Recover(ctx context.Context, has Referrer) error {
	return d.adopt(ctx, time.Time{}, has)
}

func (d *disk) close() {
	d.settling.close()
	d.journal.close()
}

// confirmWait is how long confirm waits for the end of an upload that goes on at this moment.
const confirmWait = 500 * time.Millisecond

// confirm reads and hashes: what a crash of the machine left of a file that nobody synced may have any length, or
// another content. While there is a mark, the bytes are perhaps not durable yet.
func (d *disk) Confirm(ctx context.Context, aid int64, object string) error {
	if err := d.there(); err != nil {
		return err
	}
	if ended, err := d.journal.settledIn(ctx, object, confirmWait); err != nil || !ended {
		return errors.Join(err, ErrMissing)
	}
	mark := d.mark(aid, object)
	for wait := time.Millisecond; ; wait *= 2 {
		_, err := os.Lstat(mark)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil || wait > confirmWait {
			return ErrMissing
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return d.whole(object)
}

// whole reads an object and syncs it; ErrMissing when it is not what its name says.
func (d *disk) whole(object string) error {
	f, err := os.Open(d.file(object))
	if errors.Is(err, fs.ErrNotExist) {
		return d.missing()
	}
	if err != nil {
		return storeError("open blob", err)
	}
	defer f.Close()
	want, _ := CIDOf(object)
	got, err := Digest(f)
	switch {
	case err != nil:
		return storeError("read blob", err)
	case !got.Equals(want):
		return ErrMissing
	}
	if err = f.Sync(); err == nil {
		err = syncFolder(filepath.Dir(d.file(object)))
	}
	if err != nil {
		return storeError("sync blob", err)
	}
	return nil
}

// makeFolder makes a folder and syncs the one above each that it made: a folder that a crash forgets takes its files
// with it.
func (d *disk) makeFolder(path string) error {
	err := os.Mkdir(path, 0o750)
	if errors.Is(err, fs.ErrNotExist) && len(path) > len(d.root) {
		if err := d.makeFolder(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o750)
	}
	if errors.Is(err, fs.ErrExist) {
		// Somebody else's, perhaps of this moment: it must be as durable as one of our own.
		return syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d *disk) Open(_ context.Context, object string) (io.ReadSeekCloser, int64, error) {
	f, err := os.Open(d.file(object))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, d.missing()
	}
	if err != nil {
		return nil, 0, storeError("open blob", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, 0, storeError("open blob", err)
	}
	return f, info.Size(), nil
}

func (d *disk) Stat(_ context.Context, object string) (int64, error) {
	info, err := os.Stat(d.file(object))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, d.missing()
	}
	if err != nil {
		return 0, storeError("look for blob", err)
	}
	return info.Size(), nil
}

func (d *disk) Remove(_ context.Context, objects []string) map[string]error {
	failed := map[string]error{}
	for _, o := range objects {
		err := d.there()
		if err == nil {
			if err = os.Remove(d.file(o)); errors.Is(err, fs.ErrNotExist) {
				err = d.there()
			}
		}
		if err != nil {
			failed[o] = err
			if !errors.Is(err, ErrAway) {
				failed[o] = storeError("delete blob", err)
			}
			continue
		}
		// An account's last blob takes its folder along; a folder that is not empty refuses by itself.
		_ = os.Remove(filepath.Dir(d.file(o)))
	}
	return failed
}

func (d *disk) List(ctx context.Context, schema string, each func(Found) error) error {
	err := walkFiles(d.root, schema, func(_, name string, info fs.FileInfo) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return each(Found{name, info.Size(), info.ModTime()})
	})
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	return nil
}

// DropFolders removes the folders of a tenant whose objects are gone.
func (d *disk) DropFolders(schema string) error {
	if err := d.there(); err != nil {
		return err
	}
	for _, folder := range []string{schema, QuarantineFolder + schema} {
		if err := os.RemoveAll(filepath.Join(d.root, filepath.FromSlash(folder))); err != nil {
			return storeError("remove folders", err)
		}
	}
	return nil
}
