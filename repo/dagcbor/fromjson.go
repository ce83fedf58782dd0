package dagcbor

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// FromJSON turns a record's JSON into its canonical block, in one pass and without a tree in between. It is strict
// where encoding/json is not: a key must not occur twice, text must be valid UTF-8 without lone surrogates, numbers
// must be integers of 64 signed bits (123.0 and 1e3 are integers, 123.5 is not), and they are exact. The objects that
// stand for something else ($link, $bytes, blobs) must have exactly their form; other fields that begin with $ are
// nothing special.
//
// Errors are [*Error] with the field's path, or [*TypeError].
//
// spec: data-model#json-representation
func FromJSON(json []byte, lim Limits) ([]byte, error) {
	if len(json) > maxJSON {
		return nil, at(ErrSize, maxJSON)
	}
	p := parsers.Get().(*parser)
	defer p.release()
	p.in, p.lim = json, lim.withDefaults()
	p.space()
	if p.peek() != '{' {
		if p.i >= len(json) {
			return nil, at(ErrJSON, p.i)
		}
		return nil, at(ErrNotObject, p.i)
	}
	if err := p.object(p.lim.Depth, true); err != nil {
		return nil, err
	}
	p.space()
	if p.i != len(json) {
		return nil, at(ErrJSON, p.i)
	}
	if p.out[0]>>5 != MajorMap {
		return nil, at(ErrNotObject, 0) // {"$link": …} is a link
	}
	if len(p.out) > p.lim.Size {
		return nil, at(ErrSize, 0)
	}
	return bytes.Clone(p.out), nil
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// A parser holds one run of FromJSON. Its buffers are used again.
type parser struct {
	in      []byte
	i       int
	out     []byte
	pairs   []pair // of all open objects, innermost last
	scratch []byte
	lim     Limits
}

// A pair of an object under construction: offsets into out.
type pair struct {
	key, text, val, end int32 // key item, its text, the value, its end
}

func (p *parser) release() {
	const keep = 256 << 10 // do not let one large record pin memory for ever
	if cap(p.out) > keep || cap(p.scratch) > keep || cap(p.pairs) > keep/16 {
		return
	}
	*p = parser{out: p.out[:0], pairs: p.pairs[:0], scratch: p.scratch[:0]}
	parsers.Put(p)
}

func (p *parser) space() {
	for p.i < len(p.in) {
		switch p.in[p.i] {
		case ' ', '\n', '\t', '\r':
			p.i++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end (a NUL is no JSON token either).
func (p *parser) peek() byte {
	if p.i < len(p.in) {
		return p.in[p.i]
	}
	return 0
}

// value reads one value. depth is how many containers may still be opened.
func (p *parser) value(depth int) error {
	p.space()
	switch c := p.peek(); c {
	case '{':
		return p.object(depth, false)
	case '[':
		return p.array(depth)
	case '"':
		p.i++
		s, err := p.text()
		if err != nil {
			return err
		}
		p.out = append(AppendHead(p.out, MajorText, uint64(len(s))), s...)
		return nil
	case 't':
		return p.literal("true", byteTrue)
	case 'f':
		return p.literal("false", byteFalse)
	case 'n':
		return p.literal("null", byteNull)
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return p.number()
		}
	}
	return at(ErrJSON, p.i)
}

func (p *parser) literal(word string, b byte) error {
	if len(p.in)-p.i < len(word) || string(p.in[p.i:p.i+len(word)]) != word {
		return at(ErrJSON, p.i)
	}
	p.i += len(word)
	p.out = append(p.out, b)
	return nil
}

func (p *parser) array(depth int) error {
	if depth <= 0 {
		return at(ErrDepth, p.i)
	}
	p.i++
	start, n := len(p.out), 0
	p.out = append(p.out, 0)
	for p.space(); p.peek() != ']'; p.space() {
		if n > 0 {
			if p.peek() != ',' {
				return at(ErrJSON, p.i)
			}
			p.i++
		}
		if n >= MaxElements {
			return at(ErrElements, p.i)
		}
		if err := p.value(depth - 1); err != nil {
			return inside(err, "["+strconv.Itoa(n)+"]")
		}
		n++
	}
	p.i++
	p.head(start, MajorArray, n)
	return nil
}

// head puts the head of a container at start, where one byte was left for it.
func (p *parser) head(start int, major byte, n int) {
	if n < 24 {
		p.out[start] = major<<5 | byte(n)
		return
	}
	var h [9]byte
	p.out = slices.Insert(p.out, start+1, AppendHead(h[:0], major, uint64(n))[1:]...)
	p.out[start] = AppendHead(h[:0], major, uint64(n))[0]
}

func (p *parser) object(depth int, top bool) error {
	if depth < 0 {
		return at(ErrDepth, p.i)
	}
	opened := p.i
	p.i++
	start, base := len(p.out), len(p.pairs)
	p.out = append(p.out, 0)
	sorted, special := true, false
	for p.space(); p.peek() != '}'; p.space() {
		n := len(p.pairs) - base
		if n > 0 {
			if p.peek() != ',' {
				return at(ErrJSON, p.i)
			}
			p.i++
			p.space()
		}
		if n >= MaxElements {
			return at(ErrElements, p.i)
		}
		if p.peek() != '"' {
			return at(ErrJSON, p.i)
		}
		where := p.i
		p.i++
		key, err := p.text()
		if err != nil {
			return err
		}
		if len(key) > MaxKeyLen {
			return at(ErrKeyLength, where)
		}
		special = special || len(key) > 0 && key[0] == '$'
		e := pair{key: int32(len(p.out))}
		p.out = AppendHead(p.out, MajorText, uint64(len(key)))
		e.text = int32(len(p.out))
		p.out = append(p.out, key...)
		e.val = int32(len(p.out))
		if n > 0 {
			sorted = sorted && p.compare(p.pairs[base+n-1], e) < 0
		}
		p.space()
		if p.peek() != ':' {
			return at(ErrJSON, p.i)
		}
		p.i++
		if err := p.value(depth - 1); err != nil {
			return inside(err, segment(p.out[e.text:e.val]))
		}
		e.end = int32(len(p.out))
		p.pairs = append(p.pairs, e)
	}
	p.i++
	if top && p.lim.Type != "" {
		added, err := p.typed(base)
		if err != nil {
			return err
		}
		sorted = sorted && !added
		special = true
	}
	if !sorted {
		if !p.sort(start+1, base) {
			return at(ErrDuplicate, opened)
		}
	}
	n := len(p.pairs) - base
	kind := plain
	if special || n == 2 {
		var err error
		if kind, err = p.special(start, base); err != nil {
			return at(err, opened)
		}
	}
	if kind == plain {
		// A link or a byte string at the deepest place is no container.
		if depth == 0 {
			return at(ErrDepth, opened)
		}
		p.head(start, MajorMap, n)
	}
	p.pairs = p.pairs[:base]
	return nil
}

func (p *parser) compare(a, b pair) int {
	if d := (a.val - a.text) - (b.val - b.text); d != 0 {
		return int(d)
	}
	return bytes.Compare(p.out[a.text:a.val], p.out[b.text:b.val])
}

// sort brings the pairs of an object into canonical order; start is where the first one's key lies. It tells whether
// the keys are distinct.
func (p *parser) sort(start, base int) bool {
	pairs := p.pairs[base:]
	slices.SortFunc(pairs, p.compare)
	p.scratch = append(p.scratch[:0], p.out[start:]...)
	to := int32(start)
	for i, e := range pairs {
		if i > 0 && bytes.Equal(p.out[pairs[i-1].text:pairs[i-1].val], p.scratch[e.text-int32(start):e.val-int32(start)]) {
			return false
		}
		copy(p.out[to:], p.scratch[e.key-int32(start):e.end-int32(start)])
		shift := to - e.key
		pairs[i] = pair{key: to, text: e.text + shift, val: e.val + shift, end: e.end + shift}
		to = pairs[i].end
	}
	return true
}

// text reads a string behind its opening quote. The result points into the input or the scratch buffer and lives until
// the next call.
func (p *parser) text() ([]byte, error) {
	start := p.i
	end, high := plainText(p.in, start)
	if end >= len(p.in) {
		return nil, at(ErrJSON, end)
	}
	if p.in[end] == '"' {
		p.i = end + 1
		s := p.in[start:end]
		if high && !utf8.Valid(s) {
			return nil, at(ErrUTF8, start)
		}
		return s, nil
	}
	return p.escaped(start, end)
}

// escaped reads on at the first escape of a string.
func (p *parser) escaped(start, end int) ([]byte, error) {
	b := append(p.scratch[:0], p.in[start:end]...)
	defer func() { p.scratch = b }()
	for {
		if end >= len(p.in) {
			return nil, at(ErrJSON, end)
		}
		switch c := p.in[end]; {
		case c == '"':
			p.i = end + 1
			if !utf8.Valid(b) {
				return nil, at(ErrUTF8, start)
			}
			return b, nil
		case c == '\\':
			n, err := p.escape(end, &b)
			if err != nil {
				return nil, at(err, end)
			}
			end += n
		default:
			return nil, at(ErrJSON, end) // control character
		}
		next, _ := plainText(p.in, end)
		b = append(b, p.in[end:next]...)
		end = next
	}
}

// escape reads the escape at i and gives its length.
func (p *parser) escape(i int, b *[]byte) (int, error) {
	if i+1 >= len(p.in) {
		return 0, ErrJSON
	}
	switch c := p.in[i+1]; c {
	case '"', '\\', '/':
		*b = append(*b, c)
	case 'b':
		*b = append(*b, '\b')
	case 'f':
		*b = append(*b, '\f')
	case 'n':
		*b = append(*b, '\n')
	case 'r':
		*b = append(*b, '\r')
	case 't':
		*b = append(*b, '\t')
	case 'u':
		r, ok := hex4(p.in, i+2)
		if !ok {
			return 0, ErrJSON
		}
		if r < 0xd800 || r > 0xdfff {
			*b = utf8.AppendRune(*b, r)
			return 6, nil
		}
		// A surrogate alone is no character; a high one needs its low one.
		if r >= 0xdc00 || i+8 > len(p.in) || p.in[i+6] != '\\' || p.in[i+7] != 'u' {
			return 0, ErrUTF8
		}
		low, ok := hex4(p.in, i+8)
		if !ok {
			return 0, ErrJSON
		}
		if low < 0xdc00 || low > 0xdfff {
			return 0, ErrUTF8
		}
		*b = utf8.AppendRune(*b, (r-0xd800)<<10+(low-0xdc00)+0x10000)
		return 12, nil
	default:
		return 0, ErrJSON
	}
	return 2, nil
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// plainText gives the offset, from i, of the first byte that ends or breaks a run of plain JSON text: a quote, a
// backslash, a control character; high tells whether a byte before it is not ASCII. Eight bytes at a time.
func plainText(b []byte, i int) (end int, high bool) {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	var seen uint64
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		stop := (x - 0x20*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones)
		if stop&^x&highs != 0 {
			break
		}
		seen |= x
	}
	high = seen&highs != 0
	for ; i < len(b); i++ {
		c := b[i]
		if c == '"' || c == '\\' || c < 0x20 {
			break
		}
		high = high || c >= 0x80
	}
	return i, high
}
