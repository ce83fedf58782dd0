package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

const (
	// maxSide is the longest side that is looked at.
	maxSide = 16_383
	// maxPixels bounds the decoding time: about a second.
	maxPixels = 50_000_000
	// maxBytes bounds the file.
	maxBytes = 100 << 20
	// maxMemory bounds one picture's.
	maxMemory = 320 << 20
	// workMemory is what scaling and encoding take at most: see shrink.
	workMemory = 120 << 20
	// headBytes is how far into a file its dimensions are looked for: metadata stands before them.
	headBytes = 8 << 20
	// maxProfile is the largest colour profile that is kept: those that telephones and editors write have 0.5 to 4 KB.
	maxProfile = 16 << 10
)

// codec reads one format. It is chosen by the first bytes, not through image.Decode, where what else is linked in could
// take its place.
type codec struct {
	name   string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	detail func(r io.ReadSeeker, h *head, c image.Config) error
}

var codecs = []codec{
	{"jpeg", jpeg.DecodeConfig, jpeg.Decode, jpegDetail},
	{"png", png.DecodeConfig, png.Decode, pngDetail},
	{"gif", gif.DecodeConfig, gif.Decode, gifDetail}, // reads no further than the first picture of an animation
	{"webp", webp.DecodeConfig, decodeWebP, webpDetail},
}

// formatOf says which format a file begins as, "" for none that is known here.
func formatOf(first []byte) string {
	switch {
	case bytes.HasPrefix(first, []byte("\xff\xd8\xff")):
		return "jpeg"
	case bytes.HasPrefix(first, []byte("\x89PNG\r\n\x1a\n")):
		return "png"
	case bytes.HasPrefix(first, []byte("GIF87a")), bytes.HasPrefix(first, []byte("GIF89a")):
		return "gif"
	case len(first) >= 12 && string(first[:4]) == "RIFF" && string(first[8:12]) == "WEBP":
		return "webp"
	}
	return ""
}

// head is what a file's first bytes tell.
type head struct {
	codec
	size        image.Point
	orientation int    // as EXIF numbers them
	profile     []byte // ICC, when there is one worth keeping
	memory      int64  // an upper bound of what decoding takes
	// What the decoder reads: prefix, then n bytes from at.
	prefix []byte
	at, n  int64
}

// open gives the decoder's bytes.
func (h head) open(r io.ReadSeeker) (io.Reader, error) {
	if _, err := r.Seek(h.at, io.SeekStart); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(h.prefix), io.LimitReader(r, h.n)), nil
}

// inspect reads the header and refuses what must not be decoded.
func inspect(r io.ReadSeeker) (head, error) {
	h := head{orientation: 1}
	var err error
	if h.n, err = r.Seek(0, io.SeekEnd); err != nil {
		return h, err
	}
	if h.n > maxBytes {
		return h, fmt.Errorf("%w: %d bytes", ErrTooLarge, h.n)
	}
	first := make([]byte, 12)
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return h, err
	}
	if _, err := io.ReadFull(r, first); err != nil {
		return h, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	format := formatOf(first)
	for _, c := range codecs {
		if c.name == format {
			h.codec = c
		}
	}
	if h.config == nil {
		return h, ErrFormat
	}
	if format == "webp" {
		if err := h.firstFrame(r); err != nil {
			return h, err
		}
	}
	in, err := h.open(r)
	if err != nil {
		return h, err
	}
	c, err := h.config(io.LimitReader(in, headBytes))
	if err != nil {
		return h, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	h.size = image.Pt(c.Width, c.Height)
	if c.Width <= 0 || c.Height <= 0 {
		return h, ErrFormat
	}
	if c.Width > maxSide || c.Height > maxSide || c.Width*c.Height > maxPixels {
		return h, fmt.Errorf("%w: %d × %d", ErrTooLarge, c.Width, c.Height)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return h, err
	}
	if err := h.detail(r, &h, c); err != nil {
		return h, err
	}
	if h.orientation == 0 {
		h.orientation = 1
	}
	if !keepProfile(h.profile) {
		h.profile = nil
	}
	if h.memory += workMemory; h.memory > maxMemory {
		return h, fmt.Errorf("%w: %d × %d", ErrTooLarge, c.Width, c.Height)
	}
	return h, nil
}

// setMemory notes what a pixel takes while it is decoded.
func (h *head) setMemory(perPixel int) {
	h.memory = int64(h.size.X) * int64(h.size.Y) * int64(perPixel)
}

func jpegDetail(r io.ReadSeeker, h *head, _ image.Config) error {
	j := scanJPEG(io.LimitReader(r, headBytes))
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if n := scansOf(r); n > maxScans || n*h.size.X*h.size.Y > maxScanned {
		return fmt.Errorf("%w: %d scans", ErrTooLarge, n)
	}
	h.orientation, h.profile = j.orientation, j.profile
	perPixel := j.samples
	if j.progressive { // all coefficients are kept, as int32, until the last scan
		perPixel *= 5
	}
	h.setMemory(perPixel)
	return nil
}

func gifDetail(_ io.ReadSeeker, h *head, _ image.Config) error {
	h.setMemory(2)
	return nil
}

func pngDetail(r io.ReadSeeker, h *head, c image.Config) error {
	perPixel := 4 // palettes apart: transparency can make grey ones coloured
	switch c.ColorModel {
	case color.NRGBA64Model, color.RGBA64Model, color.Gray16Model:
		perPixel = 8
	}
	var b [29]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if b[28] != 0 { // interlaced: seven pictures, then one
		perPixel *= 2
	}
	h.setMemory(perPixel)
	// Chunks before the pixels, as many as any picture has.
	at := int64(33)
	for range 64 {
		var b [8]byte
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil // the decoder will say why
		}
		n, kind := int64(binary.BigEndian.Uint32(b[:])), string(b[4:])
		if kind == "IDAT" || kind == "IEND" || n >= 1<<31 {
			return nil
		}
		if n <= 1<<16 && (kind == "eXIf" || kind == "iCCP") {
			data := make([]byte, n)
			if _, err := io.ReadFull(r, data); err != nil {
				return nil
			}
			if t, ok := parseTIFF(data); ok && kind == "eXIf" {
				h.orientation = t.orientation()
			}
			if _, packed, ok := bytes.Cut(data, []byte{0}); ok && kind == "iCCP" && len(packed) > 1 {
				h.profile, _ = inflate(packed[1:], maxProfile)
			}
		}
		at += 12 + n
	}
	return nil
}

var errBomb = errors.New("more than it may be")

// inflate unpacks what becomes no larger than limit.
func inflate(packed []byte, limit int64) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, limit+1))
	if int64(len(out)) > limit {
		return nil, errBomb
	}
	return out, err
}

// keepProfile says whether a copy needs the profile: one for RGB, whole, and another than what is assumed without any.
// spec: ICC.1:2022 section 7.2
func keepProfile(p []byte) bool {
	if len(p) < 132 || len(p) > maxProfile || int(binary.BigEndian.Uint32(p)) != len(p) || string(p[36:40]) != "acsp" || string(p[16:20]) != "RGB " {
		return false
	}
	if class := string(p[12:16]); class != "mntr" && class != "scnr" && class != "prtr" && class != "spac" {
		return false
	}
	return !bytes.Contains(p, []byte("sRGB IEC61966")) && !bytes.Contains(p, []byte("s\x00R\x00G\x00B\x00 \x00I\x00E\x00C"))
}
