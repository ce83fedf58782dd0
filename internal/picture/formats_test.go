package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func asWebP(t testing.TB, m *image.NRGBA) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encodeWebP(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func flat(w, h int, c color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := 0; i < len(m.Pix); i += 4 {
		copy(m.Pix[i:], []byte{c.R, c.G, c.B, c.A})
	}
	return m
}

// TestColours: whatever a picture is kept as, a copy shows its colour.
func TestColours(t *testing.T) {
	m := newMaker(t, Config{})
	grey := image.NewGray(image.Rect(0, 0, 30, 20))
	grey16 := image.NewGray16(grey.Rect)
	deep := image.NewNRGBA64(grey.Rect)
	palette := image.NewPaletted(grey.Rect, color.Palette{color.NRGBA{200, 40, 90, 255}, color.White})
	for i := range grey.Pix {
		grey.Pix[i] = 90
		grey16.Set(i%30, i/30, color.Gray16{90 << 8})
		deep.Set(i%30, i/30, color.NRGBA64{200 << 8, 40 << 8, 90 << 8, 0xffff})
	}
	wine, dark := color.NRGBA{200, 40, 90, 255}, color.NRGBA{90, 90, 90, 255}
	adobe := segment(0xee, append([]byte("Adobe"), 0, 100, 0, 0, 0, 0, 0))
	still := asWebP(t, flat(30, 20, wine))
	frame := slices.Concat(make([]byte, 6), []byte{29, 0, 0, 19, 0, 0}, []byte{100, 0, 0, 0}, still[12:])
	animated := riff(vp8x(2, 30, 20), riffChunk("ANIM", make([]byte, 6)), riffChunk("ANMF", frame), riffChunk("ANMF", frame))
	for name, c := range map[string]struct {
		data []byte
		want color.NRGBA
	}{
		"grey PNG":         {asPNG(t, grey), dark},
		"grey PNG of 16":   {asPNG(t, grey16), dark},
		"PNG of 16":        {asPNG(t, deep), wine},
		"palette":          {asPNG(t, palette), wine},
		"grey JPEG":        {flatJPEG(30, 20, false, 1, -100), color.NRGBA{28, 28, 28, 255}},
		"progressive JPEG": {flatJPEG(30, 20, true, 5, -100), color.NRGBA{28, 28, 28, 255}},
		"RGB JPEG":         {withSegments(flatJPEG(30, 20, false, 1, 100, -100, -100), adobe), color.NRGBA{228, 28, 28, 255}},
		"CMYK JPEG":        {withSegments(flatJPEG(30, 20, false, 1, 127, -127, -127, 127), adobe), color.NRGBA{255, 0, 0, 255}},
		"progressive CMYK": {withSegments(flatJPEG(30, 20, true, 2, 127, -127, -127, 127), adobe), color.NRGBA{255, 0, 0, 255}},
		"WebP":             {still, wine},
		"animated WebP":    {animated, wine},
		"transparent WebP": {asWebP(t, flat(30, 20, color.NRGBA{})), white},
	} {
		for _, f := range []Format{JPEG, WebP} {
			out, err := m.get(t, name, "feed", f, c.data)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, err := decodeAny(out)
			if err != nil || got.Bounds().Size() != image.Pt(30, 20) {
				t.Errorf("%s: %v %v", name, got.Bounds(), err)
				continue
			}
			r, g, b, a := got.At(15, 10).RGBA()
			if f == WebP && c.want == white {
				if a != 0 {
					t.Errorf("%s: not transparent", name)
				}
				continue
			}
			for i, v := range []uint32{r, g, b} {
				if want := []uint8{c.want.R, c.want.G, c.want.B}[i]; math.Abs(float64(v>>8)-float64(want)) > 6 {
					t.Errorf("%s as %s: %d %d %d, want %v", name, f, r>>8, g>>8, b>>8, c.want)
					break
				}
			}
		}
	}
}

func decodeAny(data []byte) (image.Image, error) {
	r := bytes.NewReader(data)
	h, err := inspect(r)
	if err != nil {
		return image.NewNRGBA(image.Rectangle{}), err
	}
	in, err := h.open(r)
	if err != nil {
		return nil, err
	}
	return h.decode(in)
}

// dressed are pictures that stand upright with orientation o, with all the metadata there is, and an ICC profile.
func dressed(t testing.TB, o int, icc []byte) map[string][]byte {
	stored := unturn(quarters(80, 40), o).(*image.NRGBA)
	e := exif(binary.BigEndian, uint16(o), place)
	xmp := []byte("<x:xmpmeta xmlns:x='adobe:ns:meta/'><a exif:GPSLatitude='" + place + "' xmp:Rating='5'/></x:xmpmeta>")
	still := asWebP(t, stored)
	chunks := still[12:]
	flags := byte(0x2c)
	if string(still[12:16]) == "VP8X" { // transparent: behind its own header
		chunks, flags = still[30:], 0x3c
	}
	w, h := stored.Rect.Dx(), stored.Rect.Dy()
	return map[string][]byte{
		"jpeg": withSegments(asJPEG(t, stored), segment(0xe1, e), segment(0xe1, slices.Concat(xmpMark, xmp)), iccSegment(icc)),
		"png": withChunks(asPNG(t, stored), pngChunk("iCCP", slices.Concat([]byte("x\x00\x00"), packed(icc))), pngChunk("eXIf", e[6:]),
			pngChunk("iTXt", slices.Concat([]byte(xmpKey+"\x00\x00\x00\x00\x00"), xmp))),
		"webp": riff(vp8x(flags, w, h), riffChunk("ICCP", icc), chunks, riffChunk("EXIF", e[6:]), riffChunk("XMP ", xmp)),
	}
}

// TestMetadata: copies of every format stand upright for all eight orientations, keep the colour profile, and nothing
// else.
func TestMetadata(t *testing.T) {
	m := newMaker(t, Config{})
	icc := profile("RGB ", "Display P3 of a telephone")
	for o := 1; o <= 8; o++ {
		for name, data := range dressed(t, o, icc) {
			for _, f := range []Format{JPEG, WebP} {
				out, err := m.get(t, fmt.Sprint(name, o, "xx"), "feed", f, data)
				if err != nil {
					t.Fatal(name, o, err)
				}
				got, err := decodeAny(out)
				if err != nil || got.Bounds().Size() != image.Pt(80, 40) {
					t.Fatal(name, o, got.Bounds(), err)
				}
				for _, err := range []error{near(got, .25, .25, red), near(got, .75, .25, green), near(got, .25, .75, blue)} {
					if err != nil {
						t.Errorf("%s, orientation %d as %s: %v", name, o, f, err)
					}
				}
				if !bytes.Contains(out, icc) {
					t.Errorf("%s as %s: no profile", name, f)
				}
				for _, word := range []string{"Exif", "EXIF", "XMP", "xmp", "GPS", "adobe", place, "Rating"} {
					if bytes.Contains(out, []byte(word)) {
						t.Errorf("%s as %s: %s", name, f, word)
					}
				}
			}
		}
	}
	for i, p := range [][]byte{profile("GRAY", "x"), profile("CMYK", "x"), profile("RGB ", "sRGB IEC61966-2.1"), profile("RGB ", string(make([]byte, maxProfile))), icc[:140], []byte("x")} {
		out, err := m.get(t, fmt.Sprint("profile", i), "feed", JPEG, dressed(t, 1, p)["jpeg"])
		if err != nil || bytes.Contains(out, iccMark) {
			t.Errorf("profile %d: %v", i, err)
		}
	}
}

// TestWebPWriter: what the encoder writes is read by golang.org/x/image as nearly the same picture, of whatever shape.
func TestWebPWriter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 70).Draw(rt, "width"), rapid.IntRange(1, 70).Draw(rt, "height")
		m := image.NewNRGBA(image.Rect(0, 0, w, h))
		dx, dy := rapid.IntRange(0, 5).Draw(rt, "dx"), rapid.IntRange(0, 5).Draw(rt, "dy")
		clarity := rapid.SampledFrom([]int{0, 1, 2}).Draw(rt, "transparency")
		for y := range h {
			for x := range w {
				v := uint8(x*dx + y*dy)
				a := uint8(255)
				if clarity == 1 {
					a = uint8(x * 3)
				} else if clarity == 2 && x > y {
					a = 0
				}
				m.SetNRGBA(x, y, color.NRGBA{v, v / 2, 255 - v, a})
			}
		}
		got, err := decodeAny(asWebP(t, m))
		if err != nil || got.Bounds() != m.Rect {
			rt.Fatalf("%v %v", got.Bounds(), err)
		}
		off, seen := 0., 0
		for y := range h {
			for x := range w {
				want := m.NRGBAAt(x, y)
				c := color.NRGBAModel.Convert(got.At(x, y)).(color.NRGBA)
				if c.A != want.A {
					rt.Fatalf("transparency at %d, %d: %d, want %d", x, y, c.A, want.A)
				}
				if want.A == 255 {
					off += math.Abs(float64(c.G) - float64(want.G))
					seen++
				}
			}
		}
		if seen > 0 && off/float64(seen) > 12 {
			rt.Fatalf("%.1f off in the mean", off/float64(seen))
		}
	})
}
