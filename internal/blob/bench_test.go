package blob

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// BenchmarkUpload is uploads beside what the disk can do, one at a time and 16 at once, on a Postgres that syncs:
// "limit" writes a new file, syncs it and its folder, and beside it syncs 8 KB of a file that has its size already, as
// Postgres does with its log; "locus" is the whole upload. Run them together, on a quiet machine, and compare.
//
//	go test -run '^$' -bench Upload ./internal/blob
func BenchmarkUpload(b *testing.B) {
	server := dbtest.Durable(b)
	d := dbtest.Open(b, server.URL())
	if err := d.MigrateControl(b.Context()); err != nil {
		b.Fatal(err)
	}
	bed := bedOn(b, server.URL(), d, "")
	owners := make([]Owner, 16)
	for i := range owners {
		owners[i] = bed.account()
	}
	var number atomic.Uint64
	for _, size := range []int{10_000, 1_000_000} {
		for _, parallel := range []int{1, 16} {
			name := fmt.Sprintf("%dB/%d/", size, parallel)
			data := random(size)
			b.Run(name+"limit", func(b *testing.B) {
				l := newLimit(b)
				many(b, parallel, size, func() error { return l.write(data, number.Add(1)) })
			})
			b.Run(name+"locus", func(b *testing.B) {
				many(b, parallel, size, func() error {
					n := number.Add(1)
					var mark [8]byte
					binary.LittleEndian.PutUint64(mark[:], n)
					_, err := bed.blobs.Upload(b.Context(), Upload{Owner: owners[n%16]}, io.MultiReader(bytes.NewReader(mark[:]), bytes.NewReader(data[8:])))
					return err
				})
			})
		}
	}
}

// many runs b.N times what do does, by so many at once.
func many(b *testing.B, parallel, size int, do func() error) {
	b.SetBytes(int64(size))
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range parallel {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "uploads/s")
}

// limit is what an upload cannot be faster than.
type limit struct {
	dir    string
	wal    *os.File
	folder *os.File
}

func newLimit(b *testing.B) *limit {
	l := &limit{dir: b.TempDir()}
	var err error
	if l.folder, err = os.Open(l.dir); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.folder.Close() })
	if l.wal, err = os.Create(filepath.Join(l.dir, "wal")); err == nil {
		b.Cleanup(func() { _ = l.wal.Close() })
		if _, err = l.wal.Write(make([]byte, 4<<20)); err == nil {
			err = l.wal.Sync()
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func (l *limit) write(data []byte, n uint64) error {
	logged := make(chan error, 1)
	go func() {
		_, err := l.wal.WriteAt(data[:8192], int64(n%512)*8192)
		logged <- errors.Join(err, l.wal.Sync())
	}()
	f, err := os.Create(filepath.Join(l.dir, strconv.FormatUint(n, 10)))
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Sync(), l.folder.Sync(), f.Close())
	}
	return errors.Join(err, <-logged)
}
