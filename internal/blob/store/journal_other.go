//go:build !linux

package store

import (
	"errors"
	"os"
)

// syncData makes what was written durable.
func syncData(f *os.File) error { return f.Sync() }

// syncAll is for systems that can sync a whole file system.
func syncAll(*os.File) error { return errors.ErrUnsupported }
