package splice

import (
	"encoding/binary"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

type parser struct {
	b     []byte
	pos   int
	nodes []node
}

func (p *parser) document() bool {
	if p.space(); !p.value(0, 0, 0, false, MaxDepth) {
		return false
	}
	p.space()
	return p.pos == len(p.b)
}

func (p *parser) space() {
	for p.pos < len(p.b) && (p.b[p.pos] == ' ' || p.b[p.pos] == '\n' || p.b[p.pos] == '\t' || p.b[p.pos] == '\r') {
		p.pos++
	}
}

// is goes over a character, if it is the next.
func (p *parser) is(c byte) bool {
	if p.pos < len(p.b) && p.b[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *parser) value(parent, name, nameTo uint32, nameEscaped bool, depth int) bool {
	if p.pos >= len(p.b) {
		return false
	}
	at := len(p.nodes)
	c := p.b[p.pos]
	n := node{start: uint32(p.pos), name: name, nameTo: nameTo, parent: parent, kind: Kind(c), escaped: nameEscaped}
	if c == '-' || c >= '0' && c <= '9' {
		n.kind = '0'
	}
	p.nodes = append(p.nodes, n)
	var ok bool
	switch c {
	case '{':
		ok = depth > 0 && p.object(uint32(at), depth-1)
	case '[':
		ok = depth > 0 && p.array(uint32(at), depth-1)
	case '"':
		p.pos++
		_, ok = p.rest()
	case 't':
		ok = p.word("true")
	case 'f':
		ok = p.word("false")
	case 'n':
		ok = p.word("null")
	default:
		ok = p.number()
	}
	p.nodes[at].end, p.nodes[at].next = uint32(p.pos), uint32(len(p.nodes))
	return ok
}

func (p *parser) object(at uint32, depth int) bool {
	p.pos++
	if p.space(); p.is('}') {
		return true
	}
	for {
		if p.space(); !p.is('"') {
			return false
		}
		name := uint32(p.pos)
		esc, ok := p.rest()
		if !ok {
			return false
		}
		nameTo := uint32(p.pos - 1)
		if p.space(); !p.is(':') {
			return false
		}
		if p.space(); !p.value(at, name, nameTo, esc, depth) {
			return false
		}
		p.space()
		if p.is(',') {
			continue
		}
		return p.is('}')
	}
}

func (p *parser) array(at uint32, depth int) bool {
	p.pos++
	if p.space(); p.is(']') {
		return true
	}
	for {
		if p.space(); !p.value(at, 0, 0, false, depth) {
			return false
		}
		p.space()
		if p.is(',') {
			continue
		}
		return p.is(']')
	}
}

func (p *parser) word(w string) bool {
	if len(p.b)-p.pos < len(w) || string(p.b[p.pos:p.pos+len(w)]) != w {
		return false
	}
	p.pos += len(w)
	return true
}

// number goes over a number.
func (p *parser) number() bool {
	p.is('-')
	if !p.is('0') && !p.digits() {
		return false
	}
	if p.is('.') && !p.digits() {
		return false
	}
	if p.is('e') || p.is('E') {
		if !p.is('+') {
			p.is('-')
		}
		return p.digits()
	}
	return true
}

func (p *parser) digits() bool {
	from := p.pos
	for p.pos < len(p.b) && p.b[p.pos] >= '0' && p.b[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > from
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special has the high bit set in each byte of w that is a quote, a backslash or a control character. Bytes behind the
// first such one may be marked wrongly.
func special(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w) & highs
}

// rest goes over a string behind its opening quote.
func (p *parser) rest() (esc, ok bool) {
	b, i := p.b, p.pos
	for {
		for i+8 <= len(b) {
			if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
			i++
		}
		if i >= len(b) || b[i] < 0x20 {
			return esc, false
		}
		if b[i] == '"' {
			p.pos = i + 1
			return esc, true
		}
		esc = true
		if i+1 >= len(b) {
			return esc, false
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if i+6 > len(b) || !hex(b[i+2:i+6]) {
				return esc, false
			}
			i += 6
		default:
			return esc, false
		}
	}
}

func hex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func escaped(raw []byte) bool {
	for _, c := range raw {
		if c == '\\' {
			return true
		}
	}
	return false
}

// unquote is what the inside of a string that was read says. Half of a surrogate pair becomes U+FFFD.
func unquote(raw []byte) string {
	if !escaped(raw) {
		return string(raw)
	}
	quoted := append(append(append(make([]byte, 0, len(raw)+2), '"'), raw...), '"')
	out, _ := jsontext.AppendUnquote(nil, quoted) // on a lone surrogate it goes on and says so
	return string(out)
}

// Quote is a string as JSON.
func Quote(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // on malformed UTF-8 it goes on and says so
	return b
}
