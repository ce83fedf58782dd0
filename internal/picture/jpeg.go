package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
)

// jpegHead is what a JPEG's segments before the first scan tell.
type jpegHead struct {
	orientation int // of EXIF, 1 to 8; 0 when it says nothing
	progressive bool
	samples     int    // bytes for each pixel, rounded up: 2 for 4:2:0, 3 for 4:4:4
	profile     []byte // ICC
}

// scanJPEG reads the segments before the first scan. A file that is odd tells nothing: the decoder will say why.
func scanJPEG(r io.Reader) jpegHead {
	h := jpegHead{samples: 8}
	rgb, parts := false, 0
	_ = segments(bufio.NewReader(r), false, func(marker byte, _ int64, payload []byte) bool {
		switch {
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			h.progressive = marker&3 == 2
			h.samples = samplesOf(payload)
			rgb = rgb || len(payload) >= 15 && payload[6] == 'R' && payload[9] == 'G' && payload[12] == 'B'
		case marker == 0xee && bytes.HasPrefix(payload, []byte("Adobe")) && len(payload) >= 12:
			rgb = rgb || payload[11] == 0
		case marker == 0xe1 && h.orientation == 0 && bytes.HasPrefix(payload, exifMark):
			if t, ok := parseTIFF(payload[len(exifMark):]); ok {
				h.orientation = t.orientation()
			}
		case marker == 0xe2 && bytes.HasPrefix(payload, iccMark) && len(payload) > len(iccMark)+2:
			// Parts are numbered from 1, and stand in their order.
			if parts++; int(payload[len(iccMark)]) == parts && len(h.profile) <= maxProfile {
				h.profile = append(h.profile, payload[len(iccMark)+2:]...)
			}
		}
		return true
	})
	if rgb && h.samples <= 4 { // the decoder makes a second picture
		h.samples += 4
	}
	return h
}

// A decoder goes over the whole picture once for each scan, however few bytes that has. Cameras and programs write up
// to fourteen.
const (
	maxScans   = 1000
	maxScanned = 1_000_000_000 // pixels, all scans together
)

// scansOf counts the scans of the first picture.
func scansOf(r io.Reader) (n int) {
	_ = segments(bufio.NewReaderSize(r, 64<<10), true, func(marker byte, _ int64, _ []byte) bool {
		switch {
		case marker == 0xda:
			n++
		case n > 0 && (marker >= 0xe0 && marker <= 0xef): // the metadata of a picture behind the first
			return false
		}
		return n <= maxScans
	})
	return n
}

// samplesOf reads a frame header's components.
func samplesOf(frame []byte) int {
	if len(frame) < 6 || len(frame) < 6+3*int(frame[5]) {
		return 8
	}
	sum, most := 0, 1
	for i := range int(frame[5]) {
		f := frame[6+3*i+1]
		area := int(f>>4) * int(f&15)
		sum += area
		most = max(most, area)
	}
	samples := min(4, (sum+most-1)/most)
	if frame[5] == 4 { // CMYK, which the decoder makes twice
		samples = 8
	}
	return samples
}

var (
	exifMark    = []byte("Exif\x00\x00")
	iccMark     = []byte("ICC_PROFILE\x00")
	xmpMark     = []byte("http://ns.adobe.com/xap/1.0/\x00")
	xmpMoreMark = []byte("http://ns.adobe.com/xmp/extension/\x00")
	adobeMark   = []byte("Photoshop 3.0\x00")
)

// segments calls each for every segment: its marker, where its payload stands, and the payload, which is valid until
// the next call. Unless whole, it ends before the first scan. Otherwise it goes on through the scans, and into pictures
// that follow the first (telephones append another exposure, with metadata of its own). An error means that there is no
// scan to come to.
func segments(r *bufio.Reader, whole bool, each func(marker byte, at int64, payload []byte) bool) error {
	var b [2]byte
	if _, err := io.ReadFull(r, b[:]); err != nil || b != [2]byte{0xff, 0xd8} {
		return ErrFormat
	}
	var (
		at      = int64(2)
		buf     []byte
		failure = ErrFormat // until the first scan
		next    byte        // a marker that was read already
	)
	for {
		c, err := next, error(nil)
		if next = 0; c == 0 {
			if c, err = r.ReadByte(); err != nil || c != 0xff {
				return failure
			}
			at++
		}
		for c == 0xff {
			if c, err = r.ReadByte(); err != nil {
				return failure
			}
			at++
		}
		switch {
		case c == 0x01 || c >= 0xd0 && c <= 0xd8: // no payload
			continue
		case !whole && (c == 0xda || c == 0xd9):
			return nil
		case c == 0xd9:
			if at, err = skipZeros(r, at); err != nil {
				return failure
			}
			continue
		}
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return failure
		}
		n := int(binary.BigEndian.Uint16(b[:])) - 2
		if n < 0 {
			return failure
		}
		at += 2
		if cap(buf) < n {
			buf = make([]byte, 1<<16)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return failure
		}
		if !each(c, at, buf[:n]) {
			return nil
		}
		at += int64(n)
		if c == 0xda {
			failure = nil
			if next, at, err = skipScan(r, at); err != nil {
				return nil
			}
		}
	}
}

// skipScan reads through a scan, and the marker behind it.
func skipScan(r *bufio.Reader, at int64) (byte, int64, error) {
	for {
		part, err := r.ReadSlice(0xff)
		at += int64(len(part))
		if err == bufio.ErrBufferFull {
			continue
		}
		c := byte(0xff)
		for c == 0xff && err == nil {
			c, err = r.ReadByte()
			at++
		}
		if err != nil {
			return 0, at, err
		}
		if c != 0 && (c < 0xd0 || c > 0xd7) { // neither a byte of the scan nor a mark within it
			return c, at, nil
		}
	}
}

func skipZeros(r *bufio.Reader, at int64) (int64, error) {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return at, err
		}
		if c != 0 {
			return at, r.UnreadByte()
		}
		at++
	}
}

// withProfile puts an ICC profile into a JPEG that was just written, behind its first marker.
func withProfile(jpeg, profile []byte) []byte {
	if len(profile) == 0 {
		return jpeg
	}
	out := append(make([]byte, 0, len(jpeg)+len(profile)+18), jpeg[:2]...)
	out = append(out, 0xff, 0xe2)
	out = binary.BigEndian.AppendUint16(out, uint16(2+len(iccMark)+2+len(profile)))
	out = append(out, iccMark...)
	out = append(out, 1, 1)
	out = append(out, profile...)
	return append(out, jpeg[2:]...)
}
