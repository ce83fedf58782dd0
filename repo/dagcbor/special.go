package dagcbor

import (
	"bytes"
	"encoding/base64"

	"github.com/ipfs/go-cid"
)

// What an object of the JSON form turned out to be.
type objectKind uint8

const (
	plain objectKind = iota
	replaced
)

// typed makes sure that the outermost object has the wanted $type, and tells whether it had to be added.
func (p *parser) typed(base int) (added bool, err error) {
	for _, e := range p.pairs[base:] {
		if string(p.out[e.text:e.val]) != "$type" {
			continue
		}
		r := NewReader(p.out[e.val:e.end])
		got, err := r.Text()
		if (err != nil || string(got) != p.lim.Type) && p.lim.keptType(p.out[e.val:e.end]) {
			return false, nil
		}
		if err != nil || len(got) == 0 {
			return false, inside(at(ErrType, 0), "$type")
		}
		if string(got) != p.lim.Type {
			return false, &TypeError{Want: p.lim.Type, Got: string(bytes.ToValidUTF8(got[:min(len(got), 64)], nil))}
		}
		return false, nil
	}
	e := pair{key: int32(len(p.out))}
	p.out = AppendHead(p.out, MajorText, uint64(len("$type")))
	e.text = int32(len(p.out))
	p.out = append(p.out, "$type"...)
	e.val = int32(len(p.out))
	p.out = AppendText(p.out, p.lim.Type)
	e.end = int32(len(p.out))
	p.pairs = append(p.pairs, e)
	return true, nil
}

// special looks at an object whose pairs are in canonical order: a link or a byte string takes its place, a blob is
// checked, a legacy blob refused.
func (p *parser) special(start, base int) (objectKind, error) {
	pairs := p.pairs[base:]
	blob := false
	for _, e := range pairs {
		whole := p.out[e.key:e.end]
		switch string(p.out[e.text:e.val]) {
		case "$link":
			if len(pairs) == 1 && p.link(start, e) {
				return replaced, nil
			}
			if !p.lim.takes(whole) {
				return plain, ErrLink
			}
		case "$bytes":
			if len(pairs) == 1 && p.bytes(start, e) {
				return replaced, nil
			}
			if !p.lim.takes(whole) {
				return plain, ErrBytes
			}
		case "$type":
			r := NewReader(p.out[e.val:e.end])
			t, err := r.Text()
			if (err != nil || len(t) == 0) && !p.lim.takes(whole) {
				return plain, ErrType
			}
			blob = string(t) == "blob"
		}
	}
	if blob && !p.blob(pairs) && !p.lim.takes(p.out[start+1:]) {
		return plain, ErrBlob
	}
	if len(pairs) == 2 && p.legacyBlob(pairs) && !p.lim.takes(p.out[start+1:]) {
		return plain, ErrLegacyBlob
	}
	return plain, nil
}

func (p *parser) link(start int, e pair) bool {
	r := NewReader(p.out[e.val:e.end])
	s, err := r.Text()
	if err != nil {
		return false
	}
	var buf [MaxCIDLen]byte
	raw, ok := parseCID(buf[:0], s)
	if !ok {
		return false
	}
	if !drislCID(raw) && !p.lim.takes(AppendLinkRaw(nil, raw)) {
		return false
	}
	p.out = AppendLinkRaw(p.out[:start], raw)
	return true
}

func (p *parser) bytes(start int, e pair) bool {
	r := NewReader(p.out[e.val:e.end])
	s, err := r.Text()
	if err != nil || bytes.ContainsAny(s, "\r\n") { // the decoder would skip them
		return false
	}
	enc := base64.RawStdEncoding
	if len(s) > 0 && s[len(s)-1] == '=' {
		enc = base64.StdEncoding
	}
	p.scratch, err = enc.AppendDecode(p.scratch[:0], s)
	if err != nil {
		return false
	}
	p.out = AppendBytes(p.out[:start], p.scratch)
	return true
}

// blob tells whether the pairs are those of a blob: exactly four fields, whose canonical order is known.
//
// spec: data-model#blob-type
func (p *parser) blob(pairs []pair) bool {
	if len(pairs) != 4 {
		return false
	}
	r := NewReader(p.out[pairs[0].key:])
	if !r.isKey("ref") {
		return false
	}
	raw, err := r.LinkRaw()
	if err != nil || !drislCID(raw) || raw[1] != codecRaw {
		return false
	}
	if !r.isKey("size") {
		return false
	}
	if size, err := r.Int(); err != nil || size < 0 {
		return false
	}
	if !r.isKey("$type") {
		return false
	}
	if _, err := r.Text(); err != nil || !r.isKey("mimeType") {
		return false
	}
	mime, err := r.Text()
	return err == nil && len(mime) > 0
}

// legacyBlob tells whether the pairs are {cid: "<CID>", mimeType: "…"}.
func (p *parser) legacyBlob(pairs []pair) bool {
	r := NewReader(p.out[pairs[0].key:pairs[1].end])
	_, _, ok := readLegacyBlob(&r)
	return ok
}

func readLegacyBlob(r *Reader) (raw, mime []byte, ok bool) {
	if !r.isKey("cid") {
		return nil, nil, false
	}
	s, err := r.Text()
	if err != nil || !r.isKey("mimeType") {
		return nil, nil, false
	}
	if mime, err = r.Text(); err != nil {
		return nil, nil, false
	}
	raw, ok = parseCID(nil, s)
	return raw, mime, ok
}

// parseCID appends the binary form of a CID given as text, of any kind.
func parseCID(dst, s []byte) ([]byte, bool) {
	if len(s) < 2 || len(s) > maxCIDText {
		return nil, false
	}
	if s[0] == 'b' {
		raw, ok := decodeBase32(dst, s[1:])
		return raw, ok && foreignCID(raw)
	}
	// Version 0 or another base: rare, and go-cid knows them.
	c, err := cid.Decode(string(s))
	if err != nil {
		return nil, false
	}
	raw := append(dst, c.KeyString()...)
	return raw, foreignCID(raw)
}
