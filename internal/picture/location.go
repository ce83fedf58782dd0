package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// maxMetadata is the largest block of metadata that is looked into; each is in memory alone.
const maxMetadata = 4 << 20

// File is a file that can be changed in its place.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// ClearLocation removes what the metadata of a JPEG, PNG or WebP tells of the place it was taken at: EXIF's GPS
// directory, and the places of XMP and IPTC. The file keeps its length, its pixels and the rest of its metadata.
// changed is false for files that name none, and for those that are not what they begin as: they stay as they are.
func ClearLocation(f File, size int64) (changed bool, err error) {
	first := make([]byte, 12)
	if _, err := f.ReadAt(first, 0); err != nil {
		return false, nil // shorter than any picture
	}
	switch formatOf(first) {
	case "jpeg":
		return clearJPEG(f, size)
	case "png":
		return clearPNG(f, size)
	case "webp":
		return clearWebP(f, size)
	}
	return false, nil
}

func clearJPEG(f File, size int64) (changed bool, err error) {
	// First it is read through: is it one, and does the XMP that did not fit into one segment name a place? A word may
	// be cut by a segment's end.
	more, tail := false, []byte(nil)
	if segments(bufio.NewReader(io.NewSectionReader(f, 0, size)), true, func(marker byte, _ int64, payload []byte) bool {
		if marker == 0xe1 && bytes.HasPrefix(payload, xmpMoreMark) && len(payload) > len(xmpMoreMark)+40 {
			text := append(tail, payload[len(xmpMoreMark)+40:]...)
			more = more || namesPlace(text)
			tail = slices.Clone(text[max(0, len(text)-32):])
		}
		return true
	}) != nil {
		return false, nil
	}
	_ = segments(bufio.NewReader(io.NewSectionReader(f, 0, size)), true, func(marker byte, at int64, payload []byte) bool {
		if clearSegment(marker, payload, more) {
			changed = true
			_, err = f.WriteAt(payload, at)
		}
		return err == nil
	})
	if err != nil {
		return changed, fmt.Errorf("clear location: %w", err)
	}
	return changed, nil
}

func clearSegment(marker byte, payload []byte, more bool) bool {
	switch {
	case marker == 0xe1 && bytes.HasPrefix(payload, exifMark):
		t, ok := parseTIFF(payload[len(exifMark):])
		return ok && t.clearPlace()
	case marker == 0xe1 && bytes.HasPrefix(payload, xmpMark):
		return clearXMP(payload[len(xmpMark):])
	case marker == 0xe1 && bytes.HasPrefix(payload, xmpMoreMark) && len(payload) > len(xmpMoreMark)+40:
		return more && blank(payload[len(xmpMoreMark)+40:])
	case marker == 0xed && bytes.HasPrefix(payload, adobeMark):
		return clearPhotoshop(payload[len(adobeMark):])
	}
	return false
}

// clearPNG changes chunks in their place. What is packed and names a place cannot be packed again to the same length:
// that text becomes blanks, not packed.
// spec: PNG (Third Edition) sections 5.3, 11.3.3, 11.3.4.3
func clearPNG(f File, size int64) (changed bool, err error) {
	type chunk struct {
		at, n int64
		kind  string
	}
	var found []chunk
	whole := false
	var b [8]byte
	for at := int64(8); at+12 <= size && !whole; {
		if _, err := f.ReadAt(b[:], at); err != nil {
			return false, nil
		}
		c := chunk{at, int64(binary.BigEndian.Uint32(b[:])), string(b[4:])}
		if at+12+c.n > size || (at == 8) != (c.kind == "IHDR") {
			return false, nil
		}
		switch c.kind {
		case "eXIf", "iTXt", "tEXt", "zTXt":
			if c.n <= maxMetadata && len(found) < 10_000 {
				found = append(found, c)
			}
		case "IEND":
			whole = true
		}
		at += 12 + c.n
	}
	if !whole {
		return false, nil
	}
	for _, c := range found {
		data := make([]byte, 4+c.n+4) // kind, payload, checksum
		if _, err := f.ReadAt(data, c.at+4); err != nil {
			return changed, fmt.Errorf("clear location: %w", err)
		}
		sum := data[4+c.n:]
		right := binary.BigEndian.Uint32(sum) == crc32.ChecksumIEEE(data[:4+c.n])
		if !clearChunk(data[:4+c.n]) {
			continue
		}
		changed = true
		if right { // a wrong one stays wrong: nothing is made of a broken file
			binary.BigEndian.PutUint32(sum, crc32.ChecksumIEEE(data[:4+c.n]))
		}
		if _, err := f.WriteAt(data, c.at+4); err != nil {
			return changed, fmt.Errorf("clear location: %w", err)
		}
	}
	return changed, nil
}

// clearChunk changes a chunk: its kind and its payload.
func clearChunk(c []byte) bool {
	kind, data := string(c[:4]), c[4:]
	if kind == "eXIf" {
		t, ok := parseTIFF(withoutMark(data))
		return ok && t.clearPlace()
	}
	word, rest, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return false
	}
	key := string(word)
	switch {
	case kind == "tEXt":
		return textNamesPlace(key, rest) && blank(rest)
	case kind == "zTXt" && len(rest) > 1:
		if text, err := inflate(rest[1:], maxMetadata); err != nil || !textNamesPlace(key, text) {
			return false
		}
		copy(c, "tEXt")
		return blank(rest)
	case kind == "iTXt" && len(rest) > 2:
		parts := bytes.SplitN(rest[2:], []byte{0}, 3) // language, the keyword in it, text
		if len(parts) < 3 {
			return false
		}
		text := parts[2]
		if rest[0] == 0 {
			if key == xmpKey {
				return clearXMP(text)
			}
			return textNamesPlace(key, text) && blank(text)
		}
		if plain, err := inflate(text, maxMetadata); err != nil || !textNamesPlace(key, plain) {
			return false
		}
		rest[0] = 0
		blank(text)
		return true
	}
	return false
}

const xmpKey = "XML:com.adobe.xmp"

// textNamesPlace looks into a text of a PNG: XMP, the notes and the profiles in hexadecimal that ImageMagick writes.
func textNamesPlace(key string, text []byte) bool {
	if key == xmpKey {
		return clearXMP(slices.Clone(text))
	}
	if strings.Contains(key, "GPS") || strings.EqualFold(key, "location") {
		return true
	}
	if !strings.HasPrefix(key, "Raw profile type ") {
		return false
	}
	lines := strings.SplitN(strings.TrimLeft(string(text), "\n"), "\n", 3) // a name, the length, the digits
	if len(lines) < 3 {
		return false
	}
	data, _ := hex.DecodeString(strings.Join(strings.Fields(lines[2]), ""))
	if bytes.HasPrefix(data, xmpMark) {
		return clearXMP(data[len(xmpMark):])
	}
	if t, ok := parseTIFF(withoutMark(data)); ok {
		return t.clearPlace()
	}
	return clearPhotoshop(data) || clearIPTC(data) || clearXMP(data)
}

// spec: RFC 9649 section 2.7.1.5
func clearWebP(f File, size int64) (changed bool, err error) {
	read := func(b []byte, at int64) error { _, err := f.ReadAt(b, at); return err }
	if webpChunks(read, 12, size, func(int64, string, int64) bool { return true }) != nil {
		return false, nil
	}
	_ = webpChunks(read, 12, size, func(at int64, kind string, n int64) bool {
		if n > maxMetadata || kind != "EXIF" && kind != "XMP " {
			return true
		}
		data := make([]byte, n)
		if err = read(data, at+8); err != nil {
			return false
		}
		cleared := false
		if kind == "XMP " {
			cleared = clearXMP(data)
		} else if t, ok := parseTIFF(withoutMark(data)); ok {
			cleared = t.clearPlace()
		}
		if cleared {
			changed = true
			_, err = f.WriteAt(data, at+8)
		}
		return err == nil
	})
	if err != nil {
		return changed, fmt.Errorf("clear location: %w", err)
	}
	return changed, nil
}
