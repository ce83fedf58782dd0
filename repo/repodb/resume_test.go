package repodb

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// TestResumedExport: an export whose replica fails anywhere goes on so that the reader sees one archive, or fails.
func TestResumedExport(t *testing.T) {
	commit := func(n byte) cid.Cid {
		return dagcbor.CIDOfDigest(&[32]byte{n})
	}
	archive := func(n byte, size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i*7) + n + byte(i>>9)
		}
		return b
	}
	for name, c := range map[string]struct {
		size, failsAt int
		again         byte // the commit of the second attempt
		want          error
	}{
		"small, the same commit":         {4000, 3000, 1, nil},
		"small, another commit":          {4000, 3000, 2, nil},
		"nothing was read":               {3 << 20, 0, 2, nil},
		"held back to the last":          {holdBytes, holdBytes, 2, nil},
		"large, the same commit":         {3 << 20, 2<<20 + 5, 1, nil},
		"large, at the last byte":        {3 << 20, 3 << 20, 1, nil},
		"large, another commit":          {3 << 20, 2<<20 + 5, 2, errChangedMeanwhile},
		"large, failed in what was held": {3 << 20, holdBytes - 7, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sp := newSpool(t.TempDir(), 1<<30, fair.NewBytes(1<<30), fair.Path{"t"})
			defer sp.close()
			out := resumed{to: sp, held: true}
			rnd := rand.New(rand.NewPCG(1, uint64(c.size)))
			feed := func(n byte, upTo int) error {
				all := archive(n, c.size)
				if err := out.begin(commit(n)); err != nil {
					return err
				}
				for at := 0; at < upTo; {
					next := min(upTo, at+1+rnd.IntN(5000))
					if err := out.write(all[at:next]); err != nil {
						return err
					}
					at = next
				}
				return nil
			}
			var got bytes.Buffer
			read := make(chan error, 1)
			go func() { read <- sp.copyTo(&got) }()
			err := feed(1, c.failsAt)
			if err == nil {
				err = feed(c.again, c.size)
			}
			if err == nil {
				err = out.end()
			}
			sp.finish(err)
			if err := <-read; !errors.Is(err, c.want) {
				t.Fatal(err)
			}
			if c.want == nil && !bytes.Equal(got.Bytes(), archive(c.again, c.size)) {
				t.Errorf("%d bytes, want the %d of the archive", got.Len(), c.size)
			}
		})
	}
	short := resumed{to: newSpool("", 1<<30, fair.NewBytes(1<<30), fair.Path{"t"})}
	if err := errors.Join(short.begin(commit(1)), short.write(make([]byte, 10)), short.begin(commit(1)), short.write(make([]byte, 5))); err != nil {
		t.Fatal(err)
	}
	if err := short.end(); !errors.Is(err, ErrCorrupt) {
		t.Error("an archive that came out shorter:", err)
	}
}
