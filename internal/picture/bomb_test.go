package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

// TestBombs: what is too large is refused by its header, before a pixel; what lies, when it is found out.
func TestBombs(t *testing.T) {
	m := newMaker(t, Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	huge := slices.Clone(flatJPEG(16, 16, false, 1, 70, 70, 70))
	at := bytes.Index(huge, []byte{0xff, 0xc0})
	copy(huge[at+5:], []byte{0xff, 0xdc, 0xff, 0xdc}) // 65,500
	gifBomb := []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02L\x01\x00;")
	gifFrame := slices.Concat(gifBomb[:6], []byte{8, 0, 8, 0}, gifBomb[10:])
	lossless := binary.LittleEndian.AppendUint32([]byte{0x2f}, 16382|16382<<14)
	small := asPNG(t, quarters(500, 500))
	iccBomb := withChunks(small, pngChunk("iCCP", slices.Concat([]byte("x\x00\x00"), packedZeros(16<<20))))
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"100,000 a side":         {madePNG(100_000, 100_000, 8, 6, 1<<20), ErrTooLarge},
		"long":                   {madePNG(4_000_000, 1, 8, 6, 1000), ErrTooLarge},
		"2^31":                   {madePNG(1<<31-1, 1<<31-1, 8, 6, 1000), ErrFormat},
		"16 bits near the limit": {madePNG(7000, 7000, 16, 6, 1000), ErrTooLarge},
		"JPEG 65,500":            {huge, ErrTooLarge},
		"progressive":            {flatJPEG(6000, 6000, true, 1, 70, 70, 70), ErrTooLarge},
		"GIF":                    {gifBomb, ErrTooLarge},
		"GIF's frame":            {gifFrame, ErrFormat},
		"WebP lossless":          {riff(riffChunk("VP8L", lossless)), ErrTooLarge},
		"WebP canvas":            {riff(vp8x(0, 16383, 16383), riffChunk("VP8L", lossless)), ErrTooLarge},
		"WebP that lies":         {riff(vp8x(0, 10, 10), riffChunk("VP8L", lossless)), ErrFormat},
		"animation that lies": {riff(vp8x(2, 10, 10), riffChunk("ANMF", slices.Concat(make([]byte, 6), []byte{0xfe, 0x3f, 0, 0xfe, 0x3f, 0, 0, 0, 0, 0},
			riffChunk("VP8L", lossless)))), ErrTooLarge},
		"short":                  {madePNG(5000, 5000, 8, 6, 1000), ErrFormat},
		"truncated":              {small[:300], ErrFormat},
		"truncated JPEG":         {asJPEG(t, quarters(500, 500))[:700], ErrFormat},
		"text":                   {[]byte("no picture at all"), ErrFormat},
		"svg":                    {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), ErrFormat},
		"HEIC":                   {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), ErrFormat},
		"AVIF":                   {[]byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif"), ErrFormat},
		"empty":                  {nil, ErrFormat},
		"more pixels than said":  {madePNG(10, 10, 8, 6, 64<<20), ErrFormat},
		"profile of 16 MB":       {iccBomb, nil},
		"metadata before pixels": {withSegments(huge, slices.Repeat([][]byte{segment(0xef, make([]byte, 65_000))}, 200)...), ErrFormat},
	} {
		if _, err := m.get(t, "bomb"+name, "feed", JPEG, c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 600<<20 {
		t.Errorf("allocated %d MB for pictures that were refused", got>>20)
	}
}

// TestPolyglot: of a picture that is also a page, only the picture is left.
func TestPolyglot(t *testing.T) {
	m := newMaker(t, Config{})
	page := []byte("<!doctype html><script>alert(1)</script>")
	data := append(asJPEG(t, quarters(100, 100), page), page...)
	for _, f := range []Format{JPEG, WebP} {
		if out, err := m.get(t, "polyglot", "feed", f, data); err != nil || bytes.Contains(out, []byte("script")) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestEndless: a picture of a few kilobytes that says in thousands of scans that nothing changes is refused; one that
// takes too long, and a file that never comes, are given up in time, and the first is not begun again.
func TestEndless(t *testing.T) {
	if _, err := newMaker(t, Config{}).get(t, "scans", "feed", JPEG, flatJPEG(4000, 4000, true, 20_000, 70)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("thousands of scans: %v", err)
	}
	m := newMaker(t, Config{Time: 100 * time.Millisecond, Parallel: 1})
	data := flatJPEG(4000, 4000, true, 60, 70) // as many as are let through
	if _, err := m.get(t, "endless", "feed", JPEG, data); !errors.Is(err, ErrTimeout) {
		t.Errorf("%d bytes: %v", len(data), err)
	}
	thumbnail, _ := FindPreset("thumbnail")
	again := func(context.Context) (io.ReadSeekCloser, error) {
		t.Error("a picture that took too long is begun again")
		return nil, io.ErrUnexpectedEOF
	}
	if _, err := m.Open(t.Context(), "t_1", "endless", thumbnail, WebP, again); !errors.Is(err, ErrTimeout) {
		t.Errorf("again: %v", err)
	}
	// A decoder that cannot be stopped keeps its place: the caller goes, the next ones are told that all is busy.
	hold := make(chan struct{})
	p, _ := FindPreset("feed")
	stuck := func(context.Context) (io.ReadSeekCloser, error) { return local{file{bytes.NewReader(data)}, hold}, nil }
	if _, err := m.Open(t.Context(), "t_1", "stuck", p, JPEG, stuck); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	if _, err := m.get(t, "next", "feed", JPEG, asJPEG(t, quarters(20, 20))); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	close(hold)
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := m.get(t, "after", "feed", JPEG, asJPEG(t, quarters(20, 20))); err == nil {
			break
		} else if time.Since(begun) > 10*time.Second {
			t.Fatal(err)
		}
	}
}

// local is a file of this machine whose reader cannot be interrupted.
type local struct {
	file
	hold chan struct{}
}

func (l local) Read(p []byte) (int, error) { <-l.hold; return l.file.Read(p) }
func (local) Stat() (os.FileInfo, error)   { return nil, os.ErrInvalid }

// TestStoreFails: a store's failure is not called the picture's, and not remembered.
func TestStoreFails(t *testing.T) {
	m := newMaker(t, Config{})
	p, _ := FindPreset("feed")
	gone := errors.New("connection lost")
	good := asJPEG(t, quarters(300, 300))
	for _, broken := range []int64{0, 100, 2000} {
		_, err := m.Open(t.Context(), "t_1", "key", p, JPEG, func(context.Context) (io.ReadSeekCloser, error) {
			return failing{bytes.NewReader(good), broken, gone}, nil
		})
		if !errors.Is(err, gone) || errors.Is(err, ErrFormat) {
			t.Errorf("at %d: %v", broken, err)
		}
	}
	if _, err := m.Open(t.Context(), "t_1", "key", p, JPEG, func(context.Context) (io.ReadSeekCloser, error) { return bad{}, nil }); !errors.Is(err, ErrFormat) {
		t.Errorf("a panic: %v", err)
	}
	// Without room for the cache there are copies all the same.
	full := NewMaker(Config{Dir: "/dev/null/none"})
	if out, err := full.get(t, "key", "feed", JPEG, good); err != nil || len(out) == 0 {
		t.Error(err)
	}
}

type bad struct{ io.ReadSeekCloser }

func (bad) Seek(int64, int) (int64, error) { panic("a decoder's mistake") }
func (bad) Close() error                   { return nil }

type failing struct {
	*bytes.Reader
	from int64
	err  error
}

func (f failing) Read(p []byte) (int, error) {
	at, _ := f.Seek(0, io.SeekCurrent)
	if at+int64(len(p)) > f.from && at >= f.from-4096 && f.from <= at+4096 {
		return 0, f.err
	}
	return f.Reader.Read(p)
}
func (failing) Close() error { return nil }

// TestMemory: sixty-four copies of large pictures at once take no more memory than few.
func TestMemory(t *testing.T) {
	if testing.Short() || resident() < 0 {
		t.Log("not measured here")
		return
	}
	m := newMaker(t, Config{Time: time.Minute, Parallel: 2})
	data := madePNG(5000, 5000, 8, 6, 5000*(4*5000+1)) // 100 MB of pixels in 97 KB
	before := resident()
	most, stop := before, make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				most = max(most, resident())
			}
		}
	})
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 64 {
		all.Go(func() {
			// Three of them different: singleflight and the cache are not what is measured.
			if _, err := m.get(t, fmt.Sprint("key", i%3), "thumbnail", JPEG, data); err != nil && !errors.Is(err, ErrBusy) {
				t.Error(err)
			} else if err == nil {
				mu.Lock()
				made++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	close(stop)
	watch.Wait()
	t.Logf("%d of 64 made; resident %d MB before, %d MB at most", made, before, most)
	if most-before > 800 {
		t.Errorf("resident memory rose from %d to %d MB", before, most)
	}
}

// resident is the process's memory in MB, -1 where the kernel does not tell.
func resident() int {
	p, err := procfs.Here.Read(os.Getpid())
	if err != nil {
		return -1
	}
	return int(p.RSS >> 20)
}

// A picture of a few kilobytes with scans without end would keep a decoder for minutes.
func TestScansAreBounded(t *testing.T) {
	m := newMaker(t, Config{})
	small := asJPEG(t, quarters(64, 64))
	scan := bytes.LastIndex(small, []byte{0xff, 0xda})
	repeated := func(n int) []byte {
		out := bytes.Clone(small[:scan])
		for range n {
			out = append(out, small[scan:len(small)-2]...)
		}
		return append(out, 0xff, 0xd9)
	}
	if n := scansOf(bytes.NewReader(repeated(14))); n != 14 {
		t.Errorf("%d scans counted of 14", n)
	}
	if _, err := m.get(t, "scans", "feed", JPEG, repeated(2000)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	large := asJPEG(t, quarters(4000, 4000))
	at := bytes.LastIndex(large, []byte{0xff, 0xda})
	many := bytes.Clone(large[:at])
	for range 70 {
		many = append(many, large[at:at+14]...)
		many = append(many, 0, 0)
	}
	if _, err := m.get(t, "passes", "feed", JPEG, append(many, large[at:]...)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := m.get(t, "plain", "feed", JPEG, large); err != nil {
		t.Error(err)
	}
}
