package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func (d *disk) Where() string { return d.root }

func (d *disk) near() bool { return true }

func (d *disk) labelFile(id string) string { return filepath.Join(d.root, LabelPrefix+id) }

func (d *disk) hasLabel(_ context.Context, id string) error {
	_, err := os.Lstat(d.labelFile(id))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return ErrMissing
	}
	return fmt.Errorf("%w: %w", ErrAway, err) // a disk that is gone, or a stale mount
}

func (d *disk) offerLabel(_ context.Context, id string) error {
	if err := os.MkdirAll(d.root, 0o750); err != nil {
		return fmt.Errorf("%w: %w", ErrLocation, err)
	}
	f, err := os.OpenFile(d.labelFile(id)+labelOffer, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLocation, err)
	}
	if _, err = f.WriteString(labelText); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = syncFolder(d.root)
	}
	if err != nil {
		d.dropLabel(context.Background(), id)
		return storeError("label folder", err)
	}
	return nil
}

func (d *disk) fixLabel(_ context.Context, id string) error {
	err := os.Rename(d.labelFile(id)+labelOffer, d.labelFile(id))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrMissing
	}
	if err == nil {
		err = syncFolder(d.root)
	}
	if err != nil {
		return storeError("label folder", err)
	}
	return nil
}

func (d *disk) dropLabel(_ context.Context, id string) { _ = os.Remove(d.labelFile(id) + labelOffer) }

func (d *disk) Labels(context.Context) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(globQuoted(d.root), LabelPrefix+"*"))
	var ids []string
	for _, p := range paths {
		if id := strings.TrimPrefix(filepath.Base(p), LabelPrefix); !strings.HasSuffix(id, labelOffer) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// globQuoted is a path as a pattern of itself.
func globQuoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// prepare makes the folder that uploads come into. From here on the disk looks for its label itself before it says that
// something is not there, or removes anything.
func (d *disk) prepare(id string) error {
	label := d.labelFile(id)
	d.label.Store(&label)
	err := os.Mkdir(d.incoming, 0o750)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrLocation, err)
	}
	return nil
}

// there says whether the folder is the one that it was.
func (d *disk) there() error {
	label := d.label.Load()
	if label == nil {
		return nil
	}
	if _, err := os.Lstat(*label); err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return nil
}

// missing is the error of an object that is not there: in a folder that is there.
func (d *disk) missing() error {
	if err := d.there(); err != nil {
		return err
	}
	return ErrMissing
}
