package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (d *disk) Sweep(ctx context.Context, before time.Time, has Referrer) error {
	if err := d.there(); err != nil {
		return err
	}
	dir, err := os.Open(d.incoming)
	if err != nil {
		return storeError("look for old uploads", err)
	}
	defer dir.Close()
	failed := []error{d.adopt(ctx, before, has)}
	for {
		entries, err := dir.ReadDir(500)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || info.ModTime().After(before) || ctx.Err() != nil || strings.HasPrefix(e.Name(), journalPrefix) || e.Name() == adoptGate {
				continue
			}
			if err := d.sweepOne(ctx, e.Name(), has); err != nil {
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

func (d *disk) sweepOne(ctx context.Context, name string, has Referrer) error {
	if err := d.there(); err != nil {
		return err
	}
	if aid, object, ok := parseMark(name); ok {
		there, err := has(ctx, aid, object, func() error { return d.whole(object) })
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
