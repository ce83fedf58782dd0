package store

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeOut has the kernel begin writing a part of a file. It makes nothing durable: it only leaves less to the sync that
// does.
func writeOut(f *os.File, from, n int64) {
	const begin = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), from, n, begin)
}

// setDirect has what is written and read from now on bypass the page cache, or not any more. False: the file system
// cannot.
func setDirect(f *os.File, on bool) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	flags &^= unix.O_DIRECT
	if on {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags)
	return err == nil
}
