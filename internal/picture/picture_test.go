package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

func opener(data []byte) func(context.Context) (io.ReadSeekCloser, error) {
	return func(context.Context) (io.ReadSeekCloser, error) { return file{bytes.NewReader(data)}, nil }
}

// quarters is a picture whose quarters are red, green, blue, and nothing.
func quarters(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{255, 0, 0, 255}
			switch {
			case y < h/2 && x >= w/2:
				c = color.NRGBA{0, 255, 0, 255}
			case y >= h/2 && x < w/2:
				c = color.NRGBA{0, 0, 255, 255}
			case y >= h/2:
				c = color.NRGBA{}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func asPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, m image.Image, segments ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	out := append([]byte{}, b.Bytes()[:2]...)
	for _, s := range segments {
		out = append(out, 0xff, 0xe1, byte((len(s)+2)>>8), byte(len(s)+2))
		out = append(out, s...)
	}
	return append(out, b.Bytes()[2:]...)
}

// exif makes a segment with an orientation and a place.
func exif(order binary.AppendByteOrder, orientation uint16, mark string) []byte {
	head := "II*\x00"
	if order.String() == "BigEndian" {
		head = "MM\x00*"
	}
	b := []byte(head)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2) // at 8: the picture's directory
	b = order.AppendUint16(b, tagOrientation)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, orientation)
	b = order.AppendUint16(b, 0)
	b = order.AppendUint16(b, tagGPS)
	b = order.AppendUint16(b, 4)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint32(b, 38)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, 1) // at 38: the place's
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 5)
	b = order.AppendUint32(b, 3)
	b = order.AppendUint32(b, 56)
	b = order.AppendUint32(b, 0)
	b = append(b, mark...) // at 56: three fractions, 24 bytes
	return append([]byte("Exif\x00\x00"), b...)
}

const place = "a place nobody must know"

func newMaker(t testing.TB, cfg Config) *Maker {
	cfg.Dir = t.TempDir()
	if cfg.Time == 0 {
		cfg.Time = 2 * time.Minute // the race detector and a busy machine are slow
	}
	return NewMaker(cfg)
}

func (m *Maker) get(t testing.TB, key string, preset string, f Format, data []byte) ([]byte, error) {
	t.Helper()
	p, ok := FindPreset(preset)
	if !ok {
		t.Fatal(preset)
	}
	file, err := m.Open(t.Context(), "t_1", key, p, f, opener(data))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

func decoded(t testing.TB, data []byte, format string) image.Image {
	t.Helper()
	m, got, err := image.Decode(bytes.NewReader(data))
	if err != nil || got != format {
		t.Fatalf("%s, want %s: %v", got, format, err)
	}
	return m
}

func near(m image.Image, fx, fy float64, want color.NRGBA) error {
	b := m.Bounds()
	c := color.NRGBAModel.Convert(m.At(b.Min.X+int(fx*float64(b.Dx())), b.Min.Y+int(fy*float64(b.Dy())))).(color.NRGBA)
	far := func(a, b uint8) bool { return int(a)-int(b) > 40 || int(b)-int(a) > 40 }
	if far(c.A, want.A) || want.A > 0 && (far(c.R, want.R) || far(c.G, want.G) || far(c.B, want.B)) {
		return fmt.Errorf("at %.2f, %.2f: %v, want %v", fx, fy, c, want)
	}
	return nil
}

var (
	red, green, blue = color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}
	white, nothing   = color.NRGBA{255, 255, 255, 255}, color.NRGBA{}
)

func TestVariants(t *testing.T) {
	m := newMaker(t, Config{})
	var animation bytes.Buffer
	frame := image.NewPaletted(image.Rect(0, 0, 900, 600), []color.Color{red, green})
	if err := gif.EncodeAll(&animation, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{1, 1}}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		data         []byte
		preset       string
		w, h         int
		transparency bool
	}{
		{asJPEG(t, quarters(1500, 1000)), "feed", 1200, 800, false},
		{asPNG(t, quarters(1500, 1000)), "thumbnail", 400, 267, true},
		{asPNG(t, quarters(1500, 1000)), "avatar", 256, 256, true},
		{asPNG(t, quarters(100, 60)), "feed", 100, 60, true}, // never larger
		{asPNG(t, quarters(100, 60)), "avatar", 60, 60, true},
		{asPNG(t, quarters(1, 3000)), "thumbnail", 1, 400, false},
		{asJPEG(t, quarters(1000, 501)), "thumbnail", 400, 200, false},
		{animation.Bytes(), "thumbnail", 400, 267, false},
	} {
		for f, empty := range map[Format]color.NRGBA{JPEG: white, WebP: nothing} {
			out, err := m.get(t, fmt.Sprintf("key%02d", i), c.preset, f, c.data)
			if err != nil {
				t.Errorf("%d %s: %v", i, f, err)
				continue
			}
			got := decoded(t, out, string(f))
			if got.Bounds().Size() != image.Pt(c.w, c.h) {
				t.Errorf("%d: %v", i, got.Bounds())
			}
			if c.transparency {
				for _, err := range []error{near(got, .25, .25, red), near(got, .75, .25, green), near(got, .25, .75, blue), near(got, .75, .75, empty)} {
					if err != nil {
						t.Errorf("%d %s: %v", i, f, err)
					}
				}
			}
		}
	}
}

// TestUpright: each orientation shows the same picture, and no metadata is left.
func TestUpright(t *testing.T) {
	m := newMaker(t, Config{})
	// Where red, green and blue are in the file, when they stand upright as quarters does.
	src := quarters(800, 400)
	for o := 1; o <= 8; o++ {
		stored := unturn(src, o)
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			data := asJPEG(t, stored, exif(order, uint16(o), place))
			out, err := m.get(t, fmt.Sprintf("o%d%s", o, order), "thumbnail", JPEG, data)
			if err != nil {
				t.Fatal(err)
			}
			got := decoded(t, out, "jpeg")
			if got.Bounds().Size() != image.Pt(400, 200) {
				t.Errorf("orientation %d: %v", o, got.Bounds())
			}
			for _, err := range []error{near(got, .25, .25, red), near(got, .75, .25, green), near(got, .25, .75, blue)} {
				if err != nil {
					t.Errorf("orientation %d: %v", o, err)
				}
			}
			if bytes.Contains(out, []byte("Exif")) || bytes.Contains(out, []byte(place)) {
				t.Errorf("orientation %d: metadata", o)
			}
		}
	}
}

// unturn stores a picture so that orientation o puts it right.
func unturn(src *image.NRGBA, o int) image.Image {
	back := []int{0, 1, 2, 3, 4, 5, 8, 7, 6}
	return upright(src, back[o])
}

// TestMakerLimits: no more at once than may, those who wait too long are told, one copy is made once.
func TestMakerLimits(t *testing.T) {
	data := asPNG(t, quarters(300, 300))
	m := newMaker(t, Config{Parallel: 2, Waiting: 2, Time: 300 * time.Millisecond})
	var running, most, opened atomic.Int64
	hold := make(chan struct{})
	slow := func(ctx context.Context) (io.ReadSeekCloser, error) {
		opened.Add(1)
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		<-hold
		return file{bytes.NewReader(data)}, nil
	}
	p, _ := FindPreset("avatar")
	var wg sync.WaitGroup
	var busy atomic.Int64
	for i := range 10 {
		wg.Go(func() {
			f, err := m.Open(t.Context(), "t_1", fmt.Sprintf("key%d", i), p, JPEG, slow)
			if err == nil {
				_ = f.Close()
			} else if errors.Is(err, ErrBusy) || errors.Is(err, ErrTimeout) {
				busy.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	time.Sleep(600 * time.Millisecond)
	close(hold)
	wg.Wait()
	if most.Load() > 2 || opened.Load() != 2 || busy.Load() != 10 {
		t.Errorf("%d at once, %d opened, %d refused", most.Load(), opened.Load(), busy.Load())
	}
	opened.Store(0)
	for range 64 {
		wg.Go(func() {
			f, err := m.Open(t.Context(), "t_1", "same", p, JPEG, slow)
			if err != nil {
				t.Error(err)
				return
			}
			_ = f.Close()
		})
	}
	wg.Wait()
	if opened.Load() != 1 {
		t.Errorf("made %d times", opened.Load())
	}
}

// TestCacheBound: the folder never grows far over its limit, and what was used lately stays.
func TestCacheBound(t *testing.T) {
	m := newMaker(t, Config{CacheBytes: 100_000})
	noise := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i * i >> 7)
	}
	data := asPNG(t, noise)
	for i := range 60 {
		if _, err := m.get(t, fmt.Sprintf("key%02d", i), "avatar", JPEG, data); err != nil {
			t.Fatal(err)
		}
	}
	total, n := int64(0), 0
	_ = filepath.WalkDir(m.cfg.Dir, func(_ string, e os.DirEntry, err error) error {
		if info, err := e.Info(); err == nil && !e.IsDir() {
			total += info.Size()
			n++
		}
		return nil
	})
	if total > 100_000 || n == 0 {
		t.Errorf("%d bytes in %d files", total, n)
	}
}

func BenchmarkVariant(b *testing.B) {
	photo := image.NewNRGBA(image.Rect(0, 0, 4000, 3000))
	for i := range photo.Pix {
		photo.Pix[i] = byte(i>>4) ^ byte(i>>13)
	}
	data := asJPEG(b, photo)
	h, err := inspect(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	for _, preset := range []string{"thumbnail", "feed"} {
		for _, f := range []Format{JPEG, WebP} {
			b.Run(preset+"/"+string(f), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					out, err := render(bytes.NewReader(data), h, presets[preset], f)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(len(out)), "bytes")
				}
			})
		}
	}
}
