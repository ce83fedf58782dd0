package store

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
)

// TestSpoolSizes takes in uploads of sizes around those at which something changes: what stays in memory, what a block
// holds, what a write past the page cache is a multiple of.
func TestSpoolSizes(t *testing.T) {
	folders := []string{t.TempDir()}
	if shm, err := os.MkdirTemp("/dev/shm", "spool"); err == nil { // another file system, where there is one
		t.Cleanup(func() { _ = os.RemoveAll(shm) })
		folders = append(folders, shm)
	}
	random := rand.NewChaCha8([32]byte{})
	all := make([]byte, 3*blockSize+2)
	_, _ = random.Read(all)
	for _, folder := range folders {
		d := newDisk(folder, JournalConfig{})
		if err := d.prepare("x"); err != nil {
			t.Fatal(err)
		}
		for _, around := range []int{2, directAlign, pieceSize, pieceSize + directAlign, blockSize, blockSize + directAlign, 2 * blockSize, 3 * blockSize} {
			for _, size := range []int{around - 1, around, around + 1} {
				for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader} {
					s := d.NewSpool()
					want := all[:size]
					if err := s.Fill(read(bytes.NewReader(want))); err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
					sum := sha256.Sum256(want)
					got, err := io.ReadAll(s.reader())
					if err != nil || !bytes.Equal(got, want) || s.Size != int64(size) || !s.CID.Equals(rawCID(sum[:])) || !bytes.HasPrefix(want, s.Head) {
						t.Errorf("%d bytes: %d came back, size %d, %v", size, len(got), s.Size, err)
					}
					s.Drop()
				}
			}
		}
	}
}
