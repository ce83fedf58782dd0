package picture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"image/draw"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// cleared gives a file without its places, and checks that its length and its pixels are as they were.
func cleared(t testing.TB, data []byte) ([]byte, bool) {
	t.Helper()
	f := &memory{slices.Clone(data)}
	changed, err := ClearLocation(f, int64(len(data)))
	got := slices.Clone(f.b)
	if err != nil || len(got) != len(data) || !changed && !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of %d, changed %v, %v", len(got), len(data), changed, err)
	}
	if again, err := ClearLocation(f, int64(len(data))); err != nil || again {
		t.Fatalf("a second time: %v %v", again, err)
	}
	if was, now := pixels(data), pixels(got); was != now {
		t.Fatalf("%s became %s", was, now)
	}
	return got, changed
}

// pixels is what a decoder sees in a file.
func pixels(data []byte) string {
	h, err := inspect(bytes.NewReader(data))
	if err != nil || h.memory > workMemory+1<<20 {
		return "none"
	}
	m, err := decodeAny(data)
	if err != nil {
		return "none"
	}
	out := image.NewRGBA(m.Bounds())
	draw.Draw(out, out.Rect, m, out.Rect.Min, draw.Src)
	return fmt.Sprintf("%v %x", out.Rect, crcOf(out.Pix))
}

// memory is a file that cannot grow.
type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(m.b).ReadAt(p, at) }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if int64(len(p)) > int64(len(m.b))-at {
		return 0, io.ErrShortWrite
	}
	return copy(m.b[at:], p), nil
}

const (
	secret = "NOWHEREISLAND"
	kept   = "NIKON D90"
)

// exifOf has a camera's name, a place, XMP and IPTC.
func exifOf(o binary.AppendByteOrder) []byte {
	var values []byte
	b := o.AppendUint32([]byte(map[string]string{"BigEndian": "MM\x00*", "LittleEndian": "II*\x00"}[o.String()]), 8)
	put := func(tag, kind uint16, value []byte) {
		b = o.AppendUint16(o.AppendUint16(b, tag), kind)
		b = o.AppendUint32(o.AppendUint32(b, uint32(len(value))), uint32(8+2+12*4+4+len(values)))
		values = append(values, value...)
	}
	b = o.AppendUint16(b, 4)
	put(0x0110, 2, []byte(kept))
	put(tagXMP, 1, xmpOf())
	put(tagIPTC, 7, iptcOf())
	b = o.AppendUint16(o.AppendUint16(b, tagGPS), 4)
	b = o.AppendUint32(o.AppendUint32(b, 1), uint32(8+2+12*4+4+len(values)))
	b = append(o.AppendUint32(b, 0), values...)
	at := len(b)
	b = o.AppendUint16(b, 1)
	b = o.AppendUint16(o.AppendUint16(b, 0x1d), 2)
	b = o.AppendUint32(o.AppendUint32(b, uint32(len(secret))), uint32(at+18))
	return append(o.AppendUint32(b, 0), secret...)
}

func xmpOf() []byte {
	return []byte(`<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description exif:GPSLatitude = "` + secret +
		`" photoshop:City='` + secret + `' tiff:Model="` + kept + `"><Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li Iptc4xmpExt:Foo="` + secret + `">` + secret +
		`</rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown><exif:GPSMapDatum>` + secret + `</exif:GPSMapDatum><dc:title>` + kept + `</dc:title><photoshop:Country/></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`)
}

func iptcOf() (b []byte) {
	for _, d := range []struct {
		set  byte
		text string
	}{{80, kept}, {90, secret}, {101, secret}} {
		b = append(b, 0x1c, 2, d.set, 0, byte(len(d.text)))
		b = append(b, d.text...)
	}
	return b
}

func photoshopOf() []byte {
	resource := func(id uint16, data []byte) []byte {
		b := binary.BigEndian.AppendUint16([]byte("8BIM"), id)
		b = binary.BigEndian.AppendUint32(append(b, 0, 0), uint32(len(data)))
		b = append(b, data...)
		return append(b, make([]byte, len(data)&1)...)
	}
	return slices.Concat(resource(0x03ed, []byte(kept)), resource(0x0404, iptcOf()), resource(0x0424, xmpOf()))
}

func text(kind, key, rest string) []byte { return pngChunk(kind, []byte(key+"\x00"+rest)) }

func rawProfile(kind string, data []byte) string {
	return fmt.Sprintf("\n%s\n%8d\n%s\n", kind, len(data), hex.EncodeToString(data))
}

// located are pictures that tell secrets of the place in every way that is known here, and what else is to be kept.
func located(t testing.TB) map[string][]byte {
	little, big := exifOf(binary.LittleEndian), exifOf(binary.BigEndian)
	marked := slices.Concat(exifMark, little)
	more := slices.Concat(xmpMoreMark, make([]byte, 40))
	photo, second := asJPEG(t, quarters(40, 20)), asJPEG(t, quarters(20, 20))
	still := asWebP(t, flat(40, 20, red))
	png := asPNG(t, quarters(40, 20))
	one := func(chunk []byte) []byte { return withChunks(png, text("tEXt", "Title", kept), chunk) }
	return map[string][]byte{
		"EXIF":               withSegments(photo, segment(0xe1, slices.Concat(exifMark, big))),
		"EXIF, little":       withSegments(photo, segment(0xe1, marked)),
		"XMP":                withSegments(photo, segment(0xe1, slices.Concat(xmpMark, xmpOf()))),
		"XMP cut in two":     withSegments(photo, segment(0xe0, []byte(kept)), segment(0xe1, slices.Concat(more, []byte("<x exif:GP"))), segment(0xe1, slices.Concat(more, []byte("SLatitude='"+secret+"'/>")))),
		"XMP that is broken": withSegments(photo, segment(0xe0, []byte(kept)), segment(0xe1, slices.Concat(xmpMark, []byte("<x exif:GPSLatitude='"+secret)))),
		"Photoshop":          withSegments(photo, segment(0xed, slices.Concat(adobeMark, photoshopOf()))),
		"second exposure":    slices.Concat(photo, make([]byte, 10), withSegments(second, segment(0xe1, marked))),
		"PNG EXIF":           one(pngChunk("eXIf", big)),
		"PNG EXIF, at last":  slices.Concat(png[:len(png)-12], pngChunk("eXIf", little), png[len(png)-12:]),
		"PNG XMP":            one(text("iTXt", xmpKey, "\x00\x00\x00\x00"+string(xmpOf()))),
		"PNG XMP, packed":    one(text("iTXt", xmpKey, "\x01\x00en\x00x\x00"+string(packed(xmpOf())))),
		"PNG text":           one(text("tEXt", "exif:GPSLatitude", secret)),
		"PNG raw EXIF":       one(text("tEXt", "Raw profile type exif", rawProfile("exif", marked))),
		"PNG raw, packed":    one(text("zTXt", "Raw profile type APP1", "\x00"+string(packed([]byte(rawProfile("exif", marked)))))),
		"PNG raw XMP":        one(text("zTXt", "Raw profile type xmp", "\x00"+string(packed([]byte(rawProfile("xmp", xmpOf())))))),
		"PNG raw IPTC":       one(text("tEXt", "Raw profile type iptc", rawProfile("iptc", photoshopOf()))),
		"WebP EXIF":          riff(vp8x(8, 40, 20), still[12:], riffChunk("EXIF", little)),
		"WebP marked EXIF":   riff(vp8x(8, 40, 20), still[12:], riffChunk("EXIF", marked)),
		"WebP XMP":           riff(vp8x(4, 40, 20), still[12:], riffChunk("XMP ", xmpOf())),
	}
}

func TestClearLocation(t *testing.T) {
	told := hex.EncodeToString([]byte(secret))
	for name, data := range located(t) {
		got, changed := cleared(t, data)
		if !changed || bytes.Contains(got, []byte(secret)) || bytes.Contains(got, []byte(told)) {
			t.Errorf("%s: changed %v", name, changed)
		}
		if was, now := bytes.Count(data, []byte(kept)), bytes.Count(got, []byte(kept)); was != now {
			t.Errorf("%s: %d notes of %d are left", name, now, was)
		}
		if pixels(got) == "none" {
			t.Errorf("%s: no picture", name)
		}
		for _, packed := range chunksOf(got, "zTXt", "iTXt") {
			if strings.Contains(packed, secret) {
				t.Errorf("%s: packed", name)
			}
		}
	}
	// What names no place stays as it is, to the last byte; so does what is cut off or is no picture.
	for name, data := range map[string][]byte{
		"without":   withSegments(asJPEG(t, quarters(9, 9)), segment(0xe1, slices.Concat(xmpMark, []byte("<x xmp:Rating='5' x='Subtle'/>")))),
		"PNG":       asPNG(t, quarters(9, 9)),
		"cut PNG":   located(t)["PNG EXIF"][:200],
		"cut WebP":  located(t)["WebP EXIF"][:80],
		"cut JPEG":  located(t)["EXIF"][:700],
		"text":      []byte("GPSLatitude is a word"),
		"no JPEG":   []byte("\xff\xd8\xff\xe1\x00\x09Exif and more text"),
		"no length": {},
	} {
		if _, changed := cleared(t, data); changed {
			t.Errorf("%s: changed", name)
		}
	}
}

// chunksOf unpacks a PNG's packed texts.
func chunksOf(png []byte, kinds ...string) (all []string) {
	for at := 8; at+12 <= len(png) && formatOf(png) == "png"; {
		n := int(binary.BigEndian.Uint32(png[at:]))
		if kind := string(png[at+4 : at+8]); slices.Contains(kinds, kind) {
			if i := bytes.Index(png[at+8:at+8+n], []byte("\x78\x9c")); i >= 0 {
				plain, _ := inflate(png[at+8+i:at+8+n], 1<<20)
				all = append(all, string(plain))
			}
		}
		at += 12 + n
	}
	return all
}

// TestClearLocationDamaged: whatever is wrong with a file, its pixels and its length stay as they are.
func TestClearLocationDamaged(t *testing.T) {
	files := located(t)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(rt *rapid.T) {
		data := slices.Clone(files[rapid.SampledFrom(names).Draw(rt, "file")])
		for range rapid.IntRange(0, 6).Draw(rt, "damages") {
			data[rapid.IntRange(0, len(data)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		data = data[:rapid.IntRange(0, len(data)).Draw(rt, "length")]
		cleared(t, data)
	})
}

func FuzzClearLocation(f *testing.F) {
	for _, data := range located(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { cleared(t, data) })
}

func FuzzXMP(f *testing.F) {
	f.Add(xmpOf())
	f.Add([]byte("<a GPS='<'/>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := slices.Clone(data)
		clearXMP(got)
		if len(got) != len(data) || clearXMP(slices.Clone(got)) {
			t.Errorf("%q became %q", data, got)
		}
	})
}

func FuzzInspect(f *testing.F) {
	for o, p := range [][]byte{profile("RGB ", "x"), nil} {
		for _, data := range dressed(f, o+5, p) {
			f.Add(data)
		}
	}
	f.Add(flatJPEG(40, 20, true, 3, 70, -70, 70))
	f.Add(flatJPEG(40, 20, false, 1, 70, -70, 70, 70))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := inspect(bytes.NewReader(data))
		if err != nil || h.memory > workMemory+4<<20 {
			return
		}
		for _, format := range []Format{JPEG, WebP} {
			if out, err := render(bytes.NewReader(data), h, presets["avatar"], format); err == nil {
				if m, err := decodeAny(out); err != nil || m.Bounds().Dx() > 256 {
					t.Errorf("%s that cannot be read: %v", format, err)
				}
			}
		}
	})
}
