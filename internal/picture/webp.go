package picture

import (
	"encoding/binary"
	"fmt"
	"image"
	"io"

	encoder "github.com/deepteams/webp"
	"golang.org/x/image/webp"
)

// webpChunks calls each for a file's chunks: where its header stands, its kind, and how long its data is. It ends where
// each says false, or at what is no chunk.
func webpChunks(read func(b []byte, at int64) error, from, end int64, each func(at int64, kind string, n int64) bool) error {
	for at := from; at+8 <= end; {
		var b [8]byte
		if err := read(b[:], at); err != nil {
			return err
		}
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if at+8+n > end {
			return fmt.Errorf("%w: a chunk is longer than the file", ErrFormat)
		}
		if !each(at, string(b[:4]), n) {
			return nil
		}
		at += 8 + n + n&1
	}
	return nil
}

// readerAt reads at places of a file that can only seek.
func readerAt(r io.ReadSeeker) func([]byte, int64) error {
	return func(b []byte, at int64) error {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		return nil
	}
}

// firstFrame makes a still picture of an animation, which the decoder does not know: its first frame with a header of
// its own.
// spec: RFC 9649 section 2.7
func (h *head) firstFrame(r io.ReadSeeker) error {
	read, frame, length, chunks := readerAt(r), int64(0), int64(0), 0
	err := webpChunks(read, 12, h.n, func(at int64, kind string, n int64) bool {
		if kind == "ANMF" {
			frame, length = at+8, n
		}
		chunks++
		return frame == 0 && kind != "VP8 " && kind != "VP8L" && chunks < 16
	})
	if err != nil || frame == 0 {
		return nil // a still picture; the decoder will say what is wrong with it
	}
	var info [16]byte
	if length < 24 {
		return ErrFormat
	}
	if err := read(info[:], frame); err != nil {
		return err
	}
	flags := byte(0)
	if err := webpChunks(read, frame+16, frame+length, func(_ int64, kind string, _ int64) bool {
		if kind == "ALPH" {
			flags = 0x10
		}
		return false
	}); err != nil {
		return err
	}
	h.at, h.n = frame+16, length-16
	h.prefix = append(h.prefix, "RIFF"...)
	h.prefix = binary.LittleEndian.AppendUint32(h.prefix, uint32(4+18+h.n))
	h.prefix = append(h.prefix, "WEBPVP8X\x0a\x00\x00\x00"...)
	h.prefix = append(h.prefix, flags, 0, 0, 0)
	h.prefix = append(h.prefix, info[6:12]...) // width and height, less one
	return nil
}

func webpDetail(r io.ReadSeeker, h *head, _ image.Config) error {
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	h.setMemory(8)
	h.memory += h.n // the decoder reads partitions whole
	read, chunks := readerAt(r), 0
	_ = webpChunks(read, 12, end, func(at int64, kind string, n int64) bool {
		if chunks++; chunks > 256 {
			return false
		}
		if n > 1<<16 || kind != "EXIF" && kind != "ICCP" {
			return true
		}
		data := make([]byte, n)
		if read(data, at+8) != nil {
			return false
		}
		if kind == "ICCP" {
			h.profile = data
		} else if t, ok := parseTIFF(withoutMark(data)); ok {
			h.orientation = t.orientation()
		}
		return true
	})
	return nil
}

// withoutMark is EXIF without what stands before it in a JPEG and, by mistake, elsewhere.
func withoutMark(exif []byte) []byte {
	if len(exif) >= len(exifMark) && string(exif[:len(exifMark)]) == string(exifMark) {
		return exif[len(exifMark):]
	}
	return exif
}

// decodeWebP decodes a still picture. VP8 keeps brightness from 16 to 235 and colours from 16 to 240; the decoder gives
// them as they are, and the standard library's pictures go from 0 to 255 (https://go.dev/issue/40173).
func decodeWebP(r io.Reader) (image.Image, error) {
	m, err := webp.Decode(r)
	if err != nil {
		return nil, err
	}
	var planes *image.YCbCr
	switch m := m.(type) {
	case *image.YCbCr:
		planes = m
	case *image.NYCbCrA:
		planes = &m.YCbCr
	default:
		return m, nil
	}
	var bright, colour [256]uint8
	for i := range 256 {
		bright[i] = uint8(max(0, min(255, ((i-16)*255+109)/219)))
		colour[i] = uint8(max(0, min(255, ((i-128)*255+112*sign(i-128))/224+128)))
	}
	for i, v := range planes.Y {
		planes.Y[i] = bright[v]
	}
	for i, v := range planes.Cb {
		planes.Cb[i] = colour[v]
	}
	for i, v := range planes.Cr {
		planes.Cr[i] = colour[v]
	}
	return m, nil
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// encodeWebP writes a picture with losses, its transparency without.
func encodeWebP(w io.Writer, m *image.NRGBA, profile []byte) error {
	o := encoder.DefaultOptions()
	o.Quality = webpQuality
	o.ICC = profile
	return encoder.Encode(w, m, o)
}
