package mst

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"github.com/ipfs/go-cid"
)

// ErrOrder refuses keys that do not rise.
var ErrOrder = errors.New("mst: keys not in order")

// Build makes the tree of these keys, which must rise, in one pass, and returns its root. emit, unless nil, gets each
// node after the nodes below it. Sorting first and then Build beats inserting for any order of keys.
func Build(sorted iter.Seq2[string, cid.Cid], emit func(Node)) (cid.Cid, error) {
	b := builder{emit: emit}
	for key, val := range sorted {
		if err := b.add(key, val); err != nil {
			return cid.Undef, err
		}
	}
	return b.finish(), nil
}

// arena is how much memory the blocks of a built tree are taken from at a time.
const arena = 1 << 16

type builder struct {
	emit   func(Node)
	levels []level
	last   string
	hash   []byte // the key as bytes
	chunk  []byte
	sum    digest // of the node closed last
}

// level is the open node of one level.
type level struct {
	after  string
	buf    []byte // its entries but for the last
	count  int
	open   bool
	left   bool
	link   bool   // the last entry has a child
	prefix int    // of the last entry, which waits for its child
	last   string // key
	val    string
	sums   [2]digest // children: left, and of the last entry
}

func (b *builder) add(key string, val cid.Cid) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if v := val.KeyString(); v == "" || len(v) > maxCID {
		return fmt.Errorf("mst: build %s: value of %d bytes", key, len(v))
	}
	if key <= b.last {
		return fmt.Errorf("%w: %q behind %q", ErrOrder, key, b.last)
	}
	b.hash = append(b.hash[:0], key...)
	h := levelOf(b.hash)
	if h >= MaxDepth {
		return fmt.Errorf("%w: level %d", ErrKey, h)
	}
	for len(b.levels) <= h {
		b.levels = append(b.levels, level{})
	}
	for i := range h {
		if b.levels[i].open {
			b.close(i)
			b.attach(i + 1)
		}
		b.levels[i].after = key
	}
	l := &b.levels[h]
	if l.count > 0 {
		l.settle(common(l.last, key))
	}
	l.open, l.last, l.val = true, key, val.KeyString()
	l.count++
	b.last = key
	return nil
}

// settle writes the last entry, now that its child is known; the next one shares prefix bytes with it.
func (l *level) settle(prefix int) {
	var link []byte
	if l.link {
		link = l.sums[1][:]
	}
	own := l.prefix
	l.buf = append(l.buf, entryHead...)
	l.buf = appendHead(l.buf, 0x40, len(l.last)-own)
	l.buf = append(l.buf, l.last[own:]...)
	l.buf = append(l.buf, 0x61, 'p')
	l.buf = appendHead(l.buf, 0x00, own)
	l.buf = append(l.buf, 0x61, 't')
	l.buf = appendLink(l.buf, link)
	l.buf = append(l.buf, 0x61, 'v', 0xd8, 0x2a)
	l.buf = appendHead(l.buf, 0x40, len(l.val)+1)
	l.buf = append(append(l.buf, 0), l.val...)
	l.link, l.prefix = false, prefix
}

// attach hangs the node closed last under level i.
func (b *builder) attach(i int) {
	if i == len(b.levels) {
		b.levels = append(b.levels, level{})
	}
	l := &b.levels[i]
	l.open = true
	if l.count == 0 {
		l.left, l.sums[0] = true, b.sum
	} else {
		l.link, l.sums[1] = true, b.sum
	}
}

// close finishes the open node of level i.
func (b *builder) close(i int) {
	l := &b.levels[i]
	if l.count > 0 {
		l.settle(0)
	}
	size := len(nodeHead) + headLen(l.count) + len(l.buf) + len(leftNone) + linkLen - 1
	if cap(b.chunk)-len(b.chunk) < size {
		b.chunk = make([]byte, 0, max(arena, size))
	} else if b.emit == nil {
		b.chunk = b.chunk[:0]
	}
	start := len(b.chunk)
	out := append(b.chunk, nodeHead...)
	out = appendHead(out, 0x80, l.count)
	out = append(out, l.buf...)
	out = append(out, 0x61, 'l')
	if l.left {
		out = appendLink(out, l.sums[0][:])
	} else {
		out = append(out, null)
	}
	block := out[start:len(out):len(out)]
	b.chunk = out
	b.sum = sha256.Sum256(block)
	if b.emit != nil {
		b.emit(Node{CID: nodeCID(&b.sum), Level: i, After: l.after, Block: block})
	}
	*l = level{after: l.after, buf: l.buf[:0]}
}

func (b *builder) finish() cid.Cid {
	if len(b.levels) == 0 {
		if b.emit != nil {
			b.emit(Node{CID: EmptyRoot, Block: EmptyBlock()})
		}
		return EmptyRoot
	}
	for i := range b.levels {
		if !b.levels[i].open {
			continue
		}
		b.close(i)
		if i+1 < len(b.levels) {
			b.attach(i + 1)
		}
	}
	return nodeCID(&b.sum)
}
