package blob

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
	"syscall"
	"time"
)

// disk keeps objects as files under root, in folders by their names.
//
// An upload begins as .incoming/<random>. When it is whole it gets the name .incoming/<schema>,<aid>,<shard>,… — its
// mark, which says what it is to become — and a second name (a hard link) at its place. Both are synced; then its row is
// inserted; then the mark goes. A crash leaves the mark, and the sweep asks whether there is a row.
type disk struct {
	root     string
	incoming string
}

const incomingFolder = ".incoming"

func newDisk(root string) (*disk, error) {
	d := &disk{root: root, incoming: filepath.Join(root, incomingFolder)}
	if err := os.MkdirAll(d.incoming, 0o750); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocation, err)
	}
	return d, nil
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

func (d *disk) announced() bool { return false }

func (d *disk) newSpool() (*spool, error) {
	f, err := os.CreateTemp(d.incoming, "upload-*")
	if err != nil {
		return nil, storeError("begin upload", err)
	}
	return &spool{file: f, path: f.Name()}, nil
}

func (d *disk) put(_ context.Context, aid int64, object string, s *spool) error {
	mark, place := d.mark(aid, object), d.file(object)
	if err := os.Rename(s.path, mark); err != nil {
		return storeError("mark upload", err)
	}
	s.path = "" // from here the mark tells
	err := os.Link(mark, place)
	for range 10 { // another upload's end may take the empty folder away again
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = d.makeFolder(filepath.Dir(place)); err == nil {
			err = os.Link(mark, place)
		}
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		// A file system without hard links: the object has one name at a time, and a crash in the next
		// millisecond leaves one that only verify finds.
		err = os.Rename(mark, place)
	}
	// The order of syncs is free, for nothing refers to the file yet: the file's own sync, coming last but one,
	// finds its names in the same journal entry.
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = syncFolder(filepath.Dir(place))
	}
	if err != nil {
		d.discard(context.Background(), aid, object)
		return storeError("store upload", err)
	}
	return nil
}

func (d *disk) settle(aid int64, object string) { _ = os.Remove(d.mark(aid, object)) }

func (d *disk) discard(_ context.Context, aid int64, object string) {
	_ = os.Remove(d.file(object))
	_ = os.Remove(d.mark(aid, object)) // last: as long as it is there the sweep comes back
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

func (d *disk) open(_ context.Context, object string) (io.ReadSeekCloser, int64, error) {
	f, err := os.Open(d.file(object))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, errMissing
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

func (d *disk) stat(_ context.Context, object string) (int64, error) {
	info, err := os.Stat(d.file(object))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errMissing
	}
	if err != nil {
		return 0, storeError("look for blob", err)
	}
	return info.Size(), nil
}

func (d *disk) remove(_ context.Context, objects []string) map[string]error {
	var failed map[string]error
	for _, o := range objects {
		err := os.Remove(d.file(o))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			if failed == nil {
				failed = map[string]error{}
			}
			failed[o] = storeError("delete blob", err)
			continue
		}
		// An account's last blob takes its folder along; a folder that is not empty refuses by itself.
		_ = os.Remove(filepath.Dir(d.file(o)))
	}
	return failed
}

func (d *disk) list(ctx context.Context, schema string, each func(found) error) error {
	root := filepath.Join(d.root, schema)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we look, or a tenant without blobs
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		return each(found{filepath.ToSlash(rel), info.Size(), info.ModTime()})
	})
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	return nil
}

func (d *disk) sweep(ctx context.Context, before time.Time, referred func(context.Context, int64, string) (bool, error)) error {
	dir, err := os.Open(d.incoming)
	if err != nil {
		return storeError("look for old uploads", err)
	}
	defer dir.Close()
	var failed []error
	for {
		entries, err := dir.ReadDir(500)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || info.ModTime().After(before) || ctx.Err() != nil {
				continue
			}
			if err := d.sweepOne(ctx, e.Name(), referred); err != nil {
				failed = append(failed, err)
			}
		}
		if err == io.EOF {
			return errors.Join(failed...)
		}
		if err != nil {
			return storeError("look for old uploads", err)
		}
	}
}

func (d *disk) sweepOne(ctx context.Context, name string, referred func(context.Context, int64, string) (bool, error)) error {
	if aid, object, ok := parseMark(name); ok {
		there, err := referred(ctx, aid, object)
		if err != nil {
			return err
		}
		if !there {
			if err := os.Remove(d.file(object)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return storeError("remove old upload", err)
			}
		}
	}
	if err := os.Remove(filepath.Join(d.incoming, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storeError("remove old upload", err)
	}
	return nil
}
