package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Files keeps whole files under names, in a folder or a bucket: what is no tenant's file, such as archives. A name is a
// path of plain words, and a file is there whole or not at all.
type Files interface {
	// Write puts what from writes under a name, in place of what was there. When from fails nothing has changed.
	Write(ctx context.Context, name string, from func(io.Writer) error) (size int64, err error)
	// Open reads a file from its beginning; [ErrMissing].
	Open(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// List calls each for the files below a folder, "" for all, in no particular order.
	List(ctx context.Context, folder string, each func(Found) error) error
	// Remove deletes a file; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	// Sweep removes what writers that died before a time left behind.
	Sweep(ctx context.Context, before time.Time) error
	// Where says for people where they are.
	Where() string
}

// ErrName refuses a name of a file.
var ErrName = errors.New("not a file's name")

// OpenFiles opens a location, of the same kinds as those of blobs; data: is the folder named so in the data folder.
func OpenFiles(location, folder string, cfg Config) (Files, error) {
	if err := CheckLocation(location); err != nil {
		return nil, err
	}
	switch {
	case OnS3(location):
		s, err := newS3(location, cfg.S3, filepath.Join(cfg.DataDir, "uploads"), cmpOr(cfg.StallTime, 15*time.Second), cmpOr(cfg.AnswerTime, 20*time.Second))
		if err != nil {
			return nil, err
		}
		return &s3Files{s}, nil
	case location == DataLocation:
		return diskFiles(filepath.Join(cfg.DataDir, folder)), nil
	}
	return diskFiles(strings.TrimPrefix(location, diskScheme)), nil
}

func cmpOr(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// checkName keeps names inside their folder.
func checkName(name string) error {
	if name == "" || len(name) > 500 || path.Clean("/"+name) != "/"+name || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return fmt.Errorf("%w: %.80q", ErrName, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return fmt.Errorf("%w: %.80q", ErrName, name)
		}
	}
	return nil
}

// diskFiles are files in a folder.
type diskFiles string

// partMark begins the name of a file that is being written.
const partMark = ".part-"

func (d diskFiles) Where() string { return "folder " + string(d) }

func (d diskFiles) path(name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

func (d diskFiles) Write(ctx context.Context, name string, from func(io.Writer) error) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	to := d.path(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	f, err := os.CreateTemp(filepath.Dir(to), partMark+"*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	defer os.Remove(f.Name()) // not there any more after the rename
	defer f.Close()
	counted := &counting{w: f}
	if err := from(counted); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	err = errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if folder, err := os.Open(filepath.Dir(to)); err == nil {
		_ = folder.Sync() // some file systems cannot; the file itself is on disk
		_ = folder.Close()
	}
	return counted.n, nil
}

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return n, err
}

func (d diskFiles) Open(_ context.Context, name string) (io.ReadCloser, int64, error) {
	if err := checkName(name); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, ErrMissing
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		_ = f.Close()
		return nil, 0, ErrMissing
	}
	return f, info.Size(), nil
}

func (d diskFiles) each(ctx context.Context, folder string, each func(path, name string, info fs.FileInfo) error) error {
	err := walkFiles(string(d), folder, func(path, name string, info fs.FileInfo) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return each(path, name, info)
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return err
}

// walkFiles goes over the files of a folder under root, with their names from there. What goes meanwhile is passed over, and
// so is a folder that is not there.
func walkFiles(root, folder string, each func(path, name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(filepath.Join(root, filepath.FromSlash(folder)), func(at string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir():
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		return each(at, filepath.ToSlash(name), info)
	})
}

func (d diskFiles) List(ctx context.Context, folder string, each func(Found) error) error {
	if folder != "" {
		if err := checkName(folder); err != nil {
			return err
		}
	}
	return d.each(ctx, folder, func(_, name string, info fs.FileInfo) error {
		if checkName(name) != nil {
			return nil
		}
		return each(Found{name, info.Size(), info.ModTime()})
	})
}

func (d diskFiles) Remove(_ context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}

func (d diskFiles) Sweep(ctx context.Context, before time.Time) error {
	return d.each(ctx, "", func(at, name string, info fs.FileInfo) error {
		if strings.HasPrefix(path.Base(name), partMark) && info.ModTime().Before(before) {
			if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// s3Files are files in a bucket.
type s3Files struct{ s3 *s3 }

// filePart is how much of a file is held in memory until it is sent. Ten thousand of them are the largest file.
const filePart = 64 << 20

func (f *s3Files) Where() string { return f.s3.Where() }

func (f *s3Files) Write(ctx context.Context, name string, from func(io.Writer) error) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := from(w)
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		failed <- err
		_ = w.CloseWithError(err)
	}()
	// What is not whole becomes no object: it is put together by its last request.
	info, err := f.s3.core.Client.PutObject(ctx, f.s3.bucket, f.s3.key(name), r, -1, minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: filePart, NumThreads: 1})
	_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // whoever still writes is told
	if made := <-failed; made != nil && (err == nil || !errors.Is(made, io.ErrClosedPipe)) {
		return 0, made
	}
	if err != nil {
		return 0, f.s3.failure("store file", err)
	}
	return info.Size, nil
}

func (f *s3Files) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := checkName(name); err != nil {
		return nil, 0, err
	}
	return f.s3.Open(ctx, name)
}

func (f *s3Files) List(ctx context.Context, folder string, each func(Found) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if folder != "" {
		folder += "/"
	}
	for o := range f.s3.core.Client.ListObjects(ctx, f.s3.bucket, minio.ListObjectsOptions{Prefix: f.s3.key(folder), Recursive: true}) {
		if o.Err != nil {
			return f.s3.failure("list files", o.Err)
		}
		name := strings.TrimPrefix(o.Key, f.s3.prefix)
		if checkName(name) != nil {
			continue
		}
		if err := each(Found{name, o.Size, o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (f *s3Files) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return f.s3.Remove(ctx, []string{name})[name]
}

func (f *s3Files) Sweep(ctx context.Context, before time.Time) error {
	var failed []error
	for u := range f.s3.core.Client.ListIncompleteUploads(ctx, f.s3.bucket, f.s3.prefix, true) {
		if u.Err != nil {
			return f.s3.failure("list unfinished uploads", u.Err)
		}
		if u.Initiated.Before(before) && checkName(strings.TrimPrefix(u.Key, f.s3.prefix)) == nil {
			if err := f.s3.core.AbortMultipartUpload(ctx, f.s3.bucket, u.Key, u.UploadID); err != nil {
				failed = append(failed, f.s3.failure("end unfinished upload", err))
			}
		}
	}
	return errors.Join(failed...)
}

var (
	_ Files = diskFiles("")
	_ Files = (*s3Files)(nil)
)
