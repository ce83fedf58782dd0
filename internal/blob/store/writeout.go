package store

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// writer writes a file from its beginning, in whole buffers but for the last, so that the sync at the end finds little
// to do: past the page cache where the file system can, else by asking the kernel to begin early.
type writer struct {
	file   *os.File
	direct bool
	at     int64 // how far it is written
	begun  int64 // how far the kernel was asked to begin
}

// directAlign is what memory, length and place of a direct write are multiples of; every disk's block divides it.
const directAlign = 4096

func (w *writer) write(p []byte) error {
	for w.direct && len(p) > 0 {
		whole := len(p) - len(p)%directAlign
		if whole == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directAlign != 0 {
			w.end() // a file's last bytes, or a buffer from elsewhere
			break
		}
		n, err := w.file.Write(p[:whole])
		w.at += int64(n)
		p = p[n:]
		if errors.Is(err, syscall.EINVAL) { // a file system that takes the flag, and not the write
			w.end()
		} else if err != nil {
			return err
		}
	}
	if len(p) == 0 {
		return nil
	}
	n, err := w.file.Write(p)
	w.at += int64(n)
	if err == nil && w.at-w.begun >= writeOutSize {
		writeOut(w.file, w.begun, w.at-w.begun)
		w.begun = w.at
	}
	return err
}

// end has everything after it, reads too, go through the page cache again.
func (w *writer) end() {
	if w.direct {
		setDirect(w.file, false)
		w.direct, w.begun = false, w.at
	}
}
