package blob

import (
	"os"
	"syscall"
)

// writeOut has the kernel begin writing a part of a file. It makes nothing durable: it only leaves less to the sync that
// does.
func writeOut(f *os.File, from, n int64) {
	const begin = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), from, n, begin)
}
