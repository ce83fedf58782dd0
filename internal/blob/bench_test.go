package blob

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// BenchmarkUpload is one upload after the other, and 16 at once, on the test database (which does not sync).
func BenchmarkUpload(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		for _, parallel := range []int{1, 8} {
			b.Run(fmt.Sprintf("%dB/%d", size, parallel), func(b *testing.B) {
				bed := newBed(b, "")
				owners := make([]Owner, 32)
				for i := range owners {
					owners[i] = bed.account()
				}
				data := random(size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				next := make(chan uint64, 1)
				next <- 0
				b.SetParallelism(parallel)
				up := func() {
					n := <-next
					next <- n + 1
					mine := bytes.Clone(data)
					binary.LittleEndian.PutUint64(mine, n)
					if _, err := bed.store.Upload(b.Context(), Upload{Owner: owners[n%32]}, bytes.NewReader(mine)); err != nil {
						b.Error(err)
					}
				}
				if parallel == 1 {
					for b.Loop() {
						up()
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						up()
					}
				})
			})
		}
	}
}
