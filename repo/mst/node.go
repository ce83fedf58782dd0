package mst

import (
	"bytes"
	"crypto/sha256"
)

const nearKids = 7

// node is one node in memory. Slots number its children: slot 0 stands before the first key, slot i after the i-th. A
// clean node is shared by clones and never changes, but for children that get loaded or forgotten.
type node struct {
	block   []byte // canonical; the digest of a dirty child is out of date until seal
	sum     digest // of block, once sealed
	after   string // the key it hangs after
	count   int    // entries
	level   int8
	left    bool // slot 0 has a child
	dirty   bool // belongs to the edit in progress
	changed bool // the block differs from the one that sum is of
	owned   bool // the block may be patched in place
	mark    bool // seen by the proof
	fresh   bool // while a commit is made: the content is new
	moved   bool // the position only
	used    uint32
	near    [nearKids]*node // loaded children of the first slots
	far     []*node         // and of the others
}

func (n *node) kid(slot int) *node {
	if slot < nearKids {
		return n.near[slot]
	}
	if slot -= nearKids; slot < len(n.far) {
		return n.far[slot]
	}
	return nil
}

func (n *node) setKid(slot int, k *node) {
	if slot < nearKids {
		n.near[slot] = k
		return
	}
	if n.far == nil {
		n.far = make([]*node, n.count+1-nearKids)
	}
	n.far[slot-nearKids] = k
}

// place is where a key stands in a node, or would.
type place struct {
	slot   int  // entries before it; the child before it is in this slot
	found  bool // the key is entry number slot
	link   int  // digest of the child in slot; 0: none
	off    int  // where entry number slot begins, or the entries end
	shared int  // bytes shared with the key of entry slot-1
	next   int  // bytes shared with the key of entry slot
}

// seek finds key among the entries. It compares against the compressed keys: how far an entry agrees with key follows
// from how far the one before did.
func (n *node) seek(key string) place {
	b := n.block
	at := place{link: n.leftLink(), off: entriesAt(b)}
	for at.slot < n.count {
		e := parse(b, at.off)
		if e.prefix < at.shared {
			at.next = e.prefix
			break
		}
		if e.prefix == at.shared {
			rest, want := b[e.key:e.keyEnd], key[at.shared:]
			j := common(rest, want)
			if j == len(rest) && j == len(want) {
				at.found, at.next = true, len(key)
				break
			}
			if j == len(want) || j < len(rest) && rest[j] > want[j] {
				at.next = at.shared + j
				break
			}
			at.shared += j
		}
		at.slot++
		at.link, at.off = e.link, e.end
	}
	return at
}

func (n *node) leftLink() int {
	if n.left {
		return len(n.block) - 32
	}
	return 0
}

// linkAt is where the digest of slot's child stands in the block; 0: no child.
func (n *node) linkAt(slot int) int {
	if slot == 0 {
		return n.leftLink()
	}
	o := entriesAt(n.block)
	for ; slot > 1; slot-- {
		o = parse(n.block, o).end
	}
	return parse(n.block, o).link
}

// appendKey appends the whole key of entry i.
func (n *node) appendKey(dst []byte, i int) []byte {
	start, o := len(dst), entriesAt(n.block)
	for {
		e := parse(n.block, o)
		dst = append(dst[:start+e.prefix], n.block[e.key:e.keyEnd]...)
		if i == 0 {
			return dst
		}
		i--
		o = e.end
	}
}

// afterSlot is the key that the child in slot hangs after.
func (n *node) afterSlot(slot int) string {
	if slot == 0 {
		return n.after
	}
	var buf [128]byte
	return string(n.appendKey(buf[:0], slot-1))
}

// item is a slot while a node is being edited: the entry before it (nothing in slot 0) and its child.
type item struct {
	prefix int
	suffix []byte
	val    []byte
	link   []byte // the child's digest; nil: no child; anything while kid is dirty
	kid    *node  // the child, if loaded
}

var unsealed [32]byte // stands for the digest of a dirty child

func (it *item) setChild(k *node) {
	it.kid, it.link = k, nil
	if k != nil {
		it.link = unsealed[:]
		if !k.dirty {
			it.link = k.sum[:]
		}
	}
}

// appendItems unpacks n.
func (n *node) appendItems(dst []item) []item {
	it := item{kid: n.kid(0)}
	if l := n.leftLink(); l > 0 {
		it.link = n.block[l : l+32]
	}
	dst = append(dst, it)
	o := entriesAt(n.block)
	for i := range n.count {
		e := parse(n.block, o)
		it := item{prefix: e.prefix, suffix: n.block[e.key:e.keyEnd], val: n.block[e.val:e.end], kid: n.kid(i + 1)}
		if e.link > 0 {
			it.link = n.block[e.link : e.link+32]
		}
		dst = append(dst, it)
		o = e.end
	}
	return dst
}

// pack makes n the node of these items.
func (n *node) pack(items []item) {
	n.count, n.left = len(items)-1, items[0].link != nil
	size := len(nodeHead) + headLen(n.count) + len(leftNone)
	if n.left {
		size += linkLen - 1
	}
	for i := range items[1:] {
		it := &items[i+1]
		size += entryLen(it.prefix, it.suffix, it.link, it.val)
	}
	b := append(make([]byte, 0, size), nodeHead...)
	b = appendHead(b, 0x80, n.count)
	n.near, n.far = [nearKids]*node{}, nil
	for i := range items {
		it := &items[i]
		if i > 0 {
			b = appendEntry(b, it.prefix, it.suffix, it.link, it.val)
		}
		if it.kid != nil {
			n.setKid(i, it.kid)
		}
	}
	b = append(b, 0x61, 'l')
	n.block = appendLink(b, items[0].link)
	n.changed, n.owned = true, true
}

// patch replaces len(with) bytes of the block.
func (n *node) patch(o int, with []byte) {
	if !n.owned {
		n.block = bytes.Clone(n.block)
		n.owned = true
	}
	copy(n.block[o:], with)
	n.changed = true
}

// patchLink brings the digest of a sealed child up to date.
func (n *node) patchLink(o int, k *node) {
	if *(*digest)(n.block[o:]) != k.sum {
		n.patch(o, k.sum[:])
	}
}

// seal brings the digests of n and all dirty nodes below up to date and lists them, parents first.
func (n *node) seal(list []*node) []*node {
	list = append(list, n)
	waiting := 0
	for _, k := range n.near {
		if k != nil && k.dirty {
			waiting++
		}
	}
	for _, k := range n.far {
		if k != nil && k.dirty {
			waiting++
		}
	}
	if k := n.near[0]; k != nil && k.dirty {
		list = k.seal(list)
		n.patchLink(len(n.block)-32, k)
		waiting--
	}
	o := entriesAt(n.block)
	for slot := 1; waiting > 0; slot++ {
		e := parse(n.block, o)
		if k := n.kid(slot); k != nil && k.dirty {
			list = k.seal(list)
			n.patchLink(e.link, k)
			waiting--
		}
		o = e.end
	}
	if n.changed {
		n.sum = sha256.Sum256(n.block)
		n.changed = false
	}
	return list
}
