package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes what was written durable, but not when.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// syncAll makes everything durable that is on the file system of a folder, and says whether any of it failed since the
// folder was opened, or asked before.
func syncAll(folder *os.File) error { return unix.Syncfs(int(folder.Fd())) }
