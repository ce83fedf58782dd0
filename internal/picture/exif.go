package picture

import "encoding/binary"

const (
	tagOrientation = 0x0112
	tagXMP         = 0x02bc
	tagIPTC        = 0x83bb
	tagGPS         = 0x8825
)

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

// orientation is what the first directory says, 1 to 8; 0 when it says nothing.
func (t tiff) orientation() int {
	if e, ok := t.find(t.first, tagOrientation); ok && e.kind == 3 && e.count == 1 {
		if o := int(t.order.Uint16(t.data[e.at+8:])); o >= 1 && o <= 8 {
			return o
		}
	}
	return 0
}

// bytesOf is the value of an entry that is longer than its own four bytes.
func (t tiff) bytesOf(e entry) []byte {
	if int(e.kind) >= len(sizes) {
		return nil
	}
	size := sizes[e.kind] * int64(e.count)
	if size <= 4 || int64(e.value)+size > int64(len(t.data)) {
		return nil
	}
	return t.data[e.value:][:size]
}

// clearPlace overwrites the directory of places and all it points at with zeros, and what other notes in the same
// directories say of a place: the file keeps its length, so nothing else moves.
func (t tiff) clearPlace() bool {
	changed := false
	dir := t.first
	for range 4 { // the picture's directory, its preview's; a ring ends here
		if e, ok := t.find(dir, tagXMP); ok && clearXMP(t.bytesOf(e)) {
			changed = true
		}
		if e, ok := t.find(dir, tagIPTC); ok && clearIPTC(t.bytesOf(e)) {
			changed = true
		}
		if e, ok := t.find(dir, tagGPS); ok {
			at, n := t.entries(e.value)
			for i := range n {
				_, g := t.entry(at + 12*i)
				clear(t.bytesOf(g))
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
