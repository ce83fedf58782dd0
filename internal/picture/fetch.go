package picture

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// fetchMemory is up to where a picture from elsewhere is kept in memory until its turn: all that may wait take 65 MB.
const fetchMemory = 1 << 20

// fetch takes in what is not a file of this machine, before its turn: a store that is slow must not keep the few places
// for decoding. It is also read once only, so that what is decoded is what was inspected, whoever's the store is.
func (m *Maker) fetch(ctx context.Context, src io.ReadSeekCloser) (io.ReadSeekCloser, error) {
	if _, ok := src.(fs.File); ok {
		return keep{src}, nil
	}
	r := &timely{ctx: ctx, ReadSeeker: src}
	here, err := carefully(func() (io.ReadSeekCloser, error) { return m.take(r) })
	switch {
	case err == nil:
		return here, nil
	case r.failed != nil:
		return nil, fmt.Errorf("read picture: %w", r.failed)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return nil, err
}

func (m *Maker) take(r io.ReadSeeker) (io.ReadSeekCloser, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	first := make([]byte, min(size, 12))
	if _, err := io.ReadFull(r, first); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if formatOf(first) == "" {
		return nil, ErrFormat // a film is not fetched to be refused
	}
	if size > maxBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	whole := io.MultiReader(bytes.NewReader(first), io.LimitReader(r, size-int64(len(first))))
	if size <= fetchMemory {
		data, err := io.ReadAll(whole)
		return inMemory{bytes.NewReader(data)}, err
	}
	f, err := m.newFile()
	if err != nil {
		return nil, fmt.Errorf("%w: no room to take one in: %w", ErrBusy, err)
	}
	if _, err := io.Copy(into{f}, whole); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// newFile is without a name, so it is gone with the process.
func (m *Maker) newFile() (*os.File, error) {
	if err := os.MkdirAll(m.cfg.Dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(m.cfg.Dir, ".new-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// into tells a disk without room from a store that fails.
type into struct{ io.Writer }

func (w into) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: no room to take one in: %w", ErrBusy, err)
	}
	return n, err
}

// keep is a file that somebody else closes.
type keep struct{ io.ReadSeeker }

func (keep) Close() error { return nil }
