package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// jpegHead is what a JPEG's segments before the first scan tell.
type jpegHead struct {
	orientation int // of EXIF, 1 to 8; 1 when it says nothing
	progressive bool
	samples     int // for each pixel, rounded up: 2 for 4:2:0, 3 for 4:4:4
}

// scanJPEG reads the segments up to the frame header. A file that is odd tells nothing: the decoder will say why.
func scanJPEG(r io.Reader) jpegHead {
	h := jpegHead{orientation: 1, samples: 4}
	_ = segments(bufio.NewReader(r), func(marker byte, _ int64, payload []byte) bool {
		switch {
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			h.progressive = marker&3 == 2
			h.samples = samplesOf(payload)
			return false
		case marker == 0xe1 && bytes.HasPrefix(payload, exifMark):
			if t, ok := parseTIFF(payload[len(exifMark):]); ok {
				if e, ok := t.find(t.first, tagOrientation); ok && e.kind == 3 && e.count == 1 {
					if o := int(t.order.Uint16(t.data[e.at+8:])); o >= 1 && o <= 8 {
						h.orientation = o
					}
				}
			}
		}
		return true
	})
	return h
}

// samplesOf reads a frame header's components.
func samplesOf(frame []byte) int {
	if len(frame) < 6 || len(frame) < 6+3*int(frame[5]) {
		return 4
	}
	sum, most := 0, 1
	for i := range int(frame[5]) {
		f := frame[6+3*i+1]
		area := int(f>>4) * int(f&15)
		sum += area
		most = max(most, area)
	}
	return min(4, (sum+most-1)/most)
}

var (
	exifMark = []byte("Exif\x00\x00")
	xmpMarks = [][]byte{[]byte("http://ns.adobe.com/xap/1.0/\x00"), []byte("http://ns.adobe.com/xmp/extension/\x00")}
)

const (
	tagOrientation = 0x0112
	tagGPS         = 0x8825
)

// segments calls each for every segment before the first scan: its marker, where its payload stands, and the payload.
func segments(r *bufio.Reader, each func(marker byte, at int64, payload []byte) bool) error {
	var b [2]byte
	at := int64(2)
	if _, err := io.ReadFull(r, b[:]); err != nil || b != [2]byte{0xff, 0xd8} {
		return ErrFormat
	}
	for {
		c, err := r.ReadByte()
		if err != nil || c != 0xff {
			return ErrFormat
		}
		at++
		for c == 0xff {
			if c, err = r.ReadByte(); err != nil {
				return ErrFormat
			}
			at++
		}
		if c == 0x01 || c >= 0xd0 && c <= 0xd7 { // no payload
			continue
		}
		if c == 0xda || c == 0xd9 { // a scan, the end
			return nil
		}
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return ErrFormat
		}
		n := int(binary.BigEndian.Uint16(b[:])) - 2
		if n < 0 {
			return ErrFormat
		}
		at += 2
		payload := make([]byte, n)
		if _, err := io.ReadFull(r, payload); err != nil {
			return ErrFormat
		}
		if !each(c, at, payload) {
			return nil
		}
		at += int64(n)
	}
}

// tiff is the directory structure that EXIF is written in.
type tiff struct {
	data  []byte
	order binary.ByteOrder
	first uint32
}

// entry is one of a directory's, twelve bytes at at.
type entry struct {
	at    int
	kind  uint16
	count uint32
	value uint32
}

func parseTIFF(data []byte) (tiff, bool) {
	t := tiff{data: data, order: binary.LittleEndian}
	switch {
	case len(data) < 8:
		return t, false
	case string(data[:4]) == "MM\x00*":
		t.order = binary.BigEndian
	case string(data[:4]) != "II*\x00":
		return t, false
	}
	t.first = t.order.Uint32(data[4:])
	return t, true
}

// entries gives the place and number of a directory's entries, as many as are really there.
func (t tiff) entries(dir uint32) (at, n int) {
	if int64(dir)+2 > int64(len(t.data)) {
		return 0, 0
	}
	at = int(dir) + 2
	n = int(t.order.Uint16(t.data[dir:]))
	return at, min(n, (len(t.data)-at)/12)
}

func (t tiff) entry(at int) (tag uint16, e entry) {
	b := t.data[at:]
	return t.order.Uint16(b), entry{at, t.order.Uint16(b[2:]), t.order.Uint32(b[4:]), t.order.Uint32(b[8:])}
}

func (t tiff) find(dir uint32, tag uint16) (entry, bool) {
	at, n := t.entries(dir)
	for i := range n {
		if found, e := t.entry(at + 12*i); found == tag {
			return e, true
		}
	}
	return entry{}, false
}

// sizes of TIFF's types in bytes.
var sizes = [...]int64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8}

// clearGPS overwrites the directory of places and all it points at with zeros: the file keeps its length, so nothing
// else moves.
func (t tiff) clearGPS() bool {
	changed := false
	dir := t.first
	for range 4 { // the picture's directory, its preview's; a ring ends here
		if e, ok := t.find(dir, tagGPS); ok {
			at, n := t.entries(e.value)
			for i := range n {
				_, g := t.entry(at + 12*i)
				if int(g.kind) < len(sizes) {
					if size := sizes[g.kind] * int64(g.count); size > 4 && int64(g.value)+size <= int64(len(t.data)) {
						clear(t.data[g.value:][:size])
					}
				}
			}
			if n > 0 {
				clear(t.data[e.value : at+12*n])
				changed = true
			}
		}
		at, n := t.entries(dir)
		if end := at + 12*n; n == 0 || end+4 > len(t.data) {
			break
		} else if dir = t.order.Uint32(t.data[end:]); dir == 0 {
			break
		}
	}
	return changed
}

// File is a file that can be changed in its place.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// ClearLocation removes what a JPEG's metadata tells of the place it was taken at: EXIF's GPS directory, and XMP as a
// whole when it names a place. The file keeps its length and its picture. changed is false for files without any, and
// for those that are not JPEGs.
func ClearLocation(f File, size int64) (changed bool, err error) {
	type patch struct {
		at   int64
		data []byte
	}
	var patches []patch
	_ = segments(bufio.NewReader(io.NewSectionReader(f, 0, size)), func(marker byte, at int64, payload []byte) bool {
		if marker != 0xe1 {
			return true
		}
		if bytes.HasPrefix(payload, exifMark) {
			if t, ok := parseTIFF(payload[len(exifMark):]); ok && t.clearGPS() {
				patches = append(patches, patch{at, payload})
			}
			return true
		}
		for _, mark := range xmpMarks {
			if bytes.HasPrefix(payload, mark) && namesPlace(payload) {
				for i := len(mark); i < len(payload); i++ {
					payload[i] = ' '
				}
				patches = append(patches, patch{at, payload})
			}
		}
		return true
	})
	for _, p := range patches {
		if _, err := f.WriteAt(p.data, p.at); err != nil {
			return true, fmt.Errorf("clear location: %w", err)
		}
	}
	return len(patches) > 0, nil
}

func namesPlace(xmp []byte) bool {
	for _, word := range []string{"GPS", "Location", "photoshop:City", "photoshop:Country", "photoshop:State"} {
		if bytes.Contains(xmp, []byte(word)) {
			return true
		}
	}
	return false
}
