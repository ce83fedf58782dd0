package picture

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Files that no encoder here writes, made byte by byte.

// pngChunk is a chunk with its length and checksum.
func pngChunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// madePNG claims a size and has body bytes of zeros for pixels, packed a thousandfold.
func madePNG(w, h uint32, depth, colour byte, body int) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", append(head, depth, colour, 0, 0, 0)),
		pngChunk("IDAT", packedZeros(body)), pngChunk("IEND", nil))
}

// packedZeros is what zlib makes of n zeros. A block that was packed once stands there as often as needed: to pack all
// takes half a minute with the race detector.
func packedZeros(n int) []byte {
	const block = 1 << 20
	z := bytes.NewBuffer([]byte{0x78, 0x9c})
	w, _ := flate.NewWriter(z, flate.DefaultCompression)
	put := func(n int) []byte {
		from := z.Len()
		_, _ = w.Write(make([]byte, n))
		_ = w.Flush()
		return z.Bytes()[from:]
	}
	put(n % block)
	if n >= block {
		put(block)
		for left, again := n/block-1, []byte(nil); left > 0; left-- {
			if again == nil {
				again = bytes.Clone(put(block)) // refers to zeros before it, of which there are enough
			} else {
				z.Write(again)
			}
		}
	}
	_ = w.Close()
	return binary.BigEndian.AppendUint32(z.Bytes(), uint32(n%65521)<<16|1) // Adler-32
}

func packed(b []byte) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(b)
	_ = w.Close()
	return z.Bytes()
}

// withChunks puts chunks behind a PNG's header.
func withChunks(png []byte, chunks ...[]byte) []byte {
	return slices.Concat(png[:33], slices.Concat(chunks...), png[33:])
}

func segment(marker byte, data []byte) []byte {
	return slices.Concat([]byte{0xff, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}, data)
}

// withSegments puts segments behind a JPEG's first marker.
func withSegments(jpeg []byte, segments ...[]byte) []byte {
	return slices.Concat(jpeg[:2], slices.Concat(segments...), jpeg[2:])
}

// flatJPEG is a JPEG of one colour: its components lie values (64 to 127, or negative) beside 128. Each scan of a
// progressive one after the first says again, in few bytes, that nothing changes.
func flatJPEG(w, h int, progressive bool, scans int, values ...int) []byte {
	quant := bytes.Repeat([]byte{1}, 65)
	quant[0], quant[1] = 0, 8 // of the mean: a step is one
	frame := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), byte(len(values))}
	scan := []byte{byte(len(values))}
	for i := range values {
		frame = append(frame, byte(i+1), 0x11, 0)
		scan = append(scan, byte(i+1), 0)
	}
	// Means: 0 is "nothing", 10 is "seven bits follow". The rest: 0 is "nothing more", 10 (progressive) is "nothing
	// more in 16,384 blocks and as many as 14 bits say".
	means := append([]byte{0x00, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 7)
	rest := append([]byte{0x10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 0xe0)
	kind, last := byte(0xc0), byte(63)
	if progressive {
		kind, last = 0xc2, 0
	}
	out := slices.Concat([]byte{0xff, 0xd8}, segment(0xdb, quant), segment(kind, frame), segment(0xc4, means), segment(0xc4, rest),
		segment(0xda, append(scan, 0, last, 0)))
	bits := &bitWriter{}
	blocks := ((w + 7) / 8) * ((h + 7) / 8)
	for block := range blocks {
		for _, v := range values {
			if block > 0 {
				bits.put(0, 1)
			} else {
				bits.put(2, 2)
				bits.put(uint32(v+127*btoi(v < 0)), 7)
			}
			if !progressive {
				bits.put(0, 1)
			}
		}
	}
	out = append(out, bits.done()...)
	for range scans - 1 {
		out = append(out, segment(0xda, []byte{1, 1, 0, 1, 63, 0})...)
		bits := &bitWriter{}
		for left := blocks; left > 0; left -= 1<<15 - 1 {
			bits.put(2, 2)
			bits.put(1<<14-1, 14)
		}
		out = append(out, bits.done()...)
	}
	return append(out, 0xff, 0xd9)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

type bitWriter struct {
	out  []byte
	acc  uint32
	held int
}

func (w *bitWriter) put(v uint32, n int) {
	for n--; n >= 0; n-- {
		w.acc = w.acc<<1 | v>>n&1
		if w.held++; w.held == 8 {
			w.out = append(w.out, byte(w.acc))
			if byte(w.acc) == 0xff {
				w.out = append(w.out, 0)
			}
			w.acc, w.held = 0, 0
		}
	}
}

func (w *bitWriter) done() []byte {
	for w.held > 0 {
		w.put(1, 1)
	}
	return w.out
}

// riff makes a WebP of chunks.
func riff(chunks ...[]byte) []byte {
	body := slices.Concat(chunks...)
	b := append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(4+len(body)))...)
	return append(append(b, "WEBP"...), body...)
}

func riffChunk(kind string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(data)))
	b = append(b, data...)
	if len(data)&1 == 1 {
		b = append(b, 0)
	}
	return b
}

// vp8x is the chunk that says what a WebP has.
func vp8x(flags byte, w, h int) []byte {
	w, h = w-1, h-1
	return riffChunk("VP8X", []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
}

// profile is an ICC profile as far as it is looked at.
func profile(space, text string) []byte {
	p := make([]byte, 132)
	copy(p[12:], "mntr"+space+"XYZ ")
	copy(p[36:], "acsp")
	p = append(p, text...)
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

func iccSegment(p []byte) []byte { return segment(0xe2, slices.Concat(iccMark, []byte{1, 1}, p)) }

func crcOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }
