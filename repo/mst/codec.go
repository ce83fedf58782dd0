package mst

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// Limits on what a node may be.
const (
	MaxEntries = 1000    // of one node; a tree of honest keys has 64 in a row once in 10^8
	MaxDepth   = 64      // levels; SHA-256 has 128, four levels cover 256 times the keys
	maxBlock   = 1 << 21 // bytes
	maxCID     = 100     // bytes of a record's CID
)

// ErrInvalid says that a block is no node of a canonical tree.
var ErrInvalid = errors.New("mst: invalid node")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

type digest = [32]byte

// Fixed pieces of the encoding.
//
// spec: repository#mst-structure, data-model#data-types (DAG-CBOR: shortest heads, fields by length, then bytes)
const (
	nodeHead  = "\xa2\x61e"                            // map of 2, "e"
	entryHead = "\xa4\x61k"                            // map of 4, "k"
	linkHead  = "\xd8\x2a\x58\x25\x00\x01\x71\x12\x20" // tag 42, 37 bytes, CIDv1 dag-cbor sha-256
	leftNone  = "\x61l\xf6"                            // "l", null
	null      = 0xf6                                   //
	linkLen   = len(linkHead) + 32                     //
)

// EmptyBlock is the node of the empty tree.
const emptyBlock = nodeHead + "\x80" + leftNone

// EmptyBlock is the block of the empty tree's root.
func EmptyBlock() []byte { return []byte(emptyBlock) }

// EmptyRoot is the CID of the empty tree.
var EmptyRoot = cid.MustParse("bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm")

// nodeCID is the CID of a node with this digest.
func nodeCID(d *digest) cid.Cid {
	var mh [34]byte
	mh[0], mh[1] = multihash.SHA2_256, 32
	copy(mh[2:], d[:])
	return cid.NewCidV1(cid.DagCBOR, mh[:])
}

// cids makes the CIDs of many nodes out of one piece of memory.
//
// A cid.Cid is a struct of one string, but the only ways to make one copy that string: for the twenty of a commit of
// one record this was a third of all allocations. TestCIDs holds the layout.
type cids struct{ b strings.Builder }

func (m *cids) make(d *digest) cid.Cid {
	start := m.b.Len()
	m.b.WriteString(linkHead[5:])
	m.b.Write(d[:])
	s := m.b.String()[start:]
	return *(*cid.Cid)(unsafe.Pointer(&s))
}

// The conversion in make does not compile unless the sizes agree.
var _ [unsafe.Sizeof("")]byte = [unsafe.Sizeof(cid.Cid{})]byte{}

// nodeDigest takes the digest out of a node's CID.
func nodeDigest(c cid.Cid) (d digest, err error) {
	s := c.KeyString()
	if len(s) != 36 || s[:4] != linkHead[5:] {
		return d, invalid("%s is no CID of a node", c)
	}
	copy(d[:], s[4:])
	return d, nil
}

// entry says where the parts of one entry stand in its block.
type entry struct {
	prefix      int // bytes shared with the key before
	key, keyEnd int // the rest of the key
	link        int // digest of the subtree after the key; 0: none
	val, end    int // CID of the record; the entry ends with it
}

// entriesAt is where the entries of a block begin. The block has been checked.
func entriesAt(b []byte) int {
	switch b[3] {
	case 0x98:
		return 5
	case 0x99:
		return 6
	}
	return 4
}

// parse reads the entry at o of a checked block.
func parse(b []byte, o int) (e entry) {
	o += len(entryHead)
	var n int
	n, o = trustedHead(b, o)
	e.key, e.keyEnd = o, o+n
	e.prefix, o = trustedHead(b, o+n+2)
	o += 2 // "t"
	if b[o] == null {
		o++
	} else {
		e.link = o + len(linkHead)
		o += linkLen
	}
	n, o = trustedHead(b, o+4) // "v", tag 42
	e.val, e.end = o+1, o+n
	return e
}

func trustedHead(b []byte, o int) (n, next int) {
	switch c := b[o] & 0x1f; {
	case c < 24:
		return int(c), o + 1
	case c == 24:
		return int(b[o+1]), o + 2
	default:
		return int(b[o+1])<<8 | int(b[o+2]), o + 3
	}
}

// shape is what check found in a block.
type shape struct {
	count    int  // entries
	left     bool // has a subtree before the first key
	links    bool // has any subtree
	first    int  // the first key stands at first:firstEnd, when count > 0
	firstEnd int
}

// check reads a whole block strictly: the exact fields in the exact order, shortest heads, keys rising, prefixes
// longest, links of the one kind, nothing behind. Levels and the gap the node stands in are the caller's.
func check(b []byte) (s shape, err error) {
	if len(b) > maxBlock {
		return s, invalid("%d bytes", len(b))
	}
	r := reader{b: b}
	r.expect(nodeHead)
	s.count = r.head(0x80)
	if s.count > MaxEntries {
		return s, invalid("%d entries", s.count)
	}
	var buf [128]byte
	last := buf[:0] // key of the entry before
	for i := 0; i < s.count; i++ {
		if r.o < len(b) && b[r.o] != entryHead[0] {
			r.bad = true
		}
		r.o++
		r.field('k')
		k := r.take(r.head(0x40))
		r.field('p')
		p := r.head(0x00)
		if r.bad {
			break
		}
		switch {
		case p > len(last) || len(k) == 0 || p+len(k) > MaxKeyLen:
			return s, invalid("entry %d: key of %d bytes after %d", i, len(k), p)
		case p < len(last) && k[0] == last[p]:
			return s, invalid("entry %d: prefix %d is not the longest", i, p)
		case p < len(last) && k[0] < last[p]:
			return s, invalid("entry %d: key is not greater than the one before", i)
		}
		if i == 0 {
			s.first, s.firstEnd = r.o-len(k)-3, r.o-3 // p is 0 here, one byte
		}
		last = append(last[:p], k...)
		r.field('t')
		if r.link() {
			s.links = true
		}
		r.value()
	}
	r.field('l')
	s.left = r.link()
	s.links = s.links || s.left
	if r.bad || r.o != len(b) {
		return s, invalid("bad encoding at byte %d of %d", r.o, len(b))
	}
	return s, nil
}

// reader is a cursor over untrusted bytes. After the first fault it stays bad and returns zeros.
type reader struct {
	b   []byte
	o   int
	bad bool
}

func (r *reader) expect(s string) {
	if r.bad || len(r.b)-r.o < len(s) || string(r.b[r.o:r.o+len(s)]) != s {
		r.bad = true
		return
	}
	r.o += len(s)
}

// field reads a field's name of one letter.
func (r *reader) field(name byte) {
	if o := r.o; o+2 > len(r.b) || r.b[o] != 0x61 || r.b[o+1] != name {
		r.bad = true
	}
	r.o += 2
}

// head reads a head of the major type (as its high bits) with the shortest argument below 2^16.
func (r *reader) head(major byte) int {
	if r.bad || r.o >= len(r.b) || r.b[r.o]&0xe0 != major {
		r.bad = true
		return 0
	}
	if c := r.b[r.o] & 0x1f; c < 24 {
		r.o++
		return int(c)
	}
	return r.longHead()
}

func (r *reader) longHead() int {
	rest := r.b[r.o:]
	switch c := rest[0] & 0x1f; {
	case c == 24 && len(rest) > 1 && rest[1] >= 24:
		r.o += 2
		return int(rest[1])
	case c == 25 && len(rest) > 2 && rest[1] > 0:
		r.o += 3
		return int(binary.BigEndian.Uint16(rest[1:]))
	}
	r.bad = true
	return 0
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b)-r.o < n {
		r.bad = true
		return nil
	}
	r.o += n
	return r.b[r.o-n : r.o]
}

// link reads null or a link to a node.
func (r *reader) link() bool {
	if r.bad || r.o >= len(r.b) {
		r.bad = true
		return false
	}
	rest := r.b[r.o:]
	if rest[0] == null {
		r.o++
		return false
	}
	if len(rest) < linkLen || string(rest[:len(linkHead)]) != linkHead {
		r.bad = true
		return false
	}
	r.o += linkLen
	return true
}

// value reads "v" and a record's link. Any CID is kept as it stands.
func (r *reader) value() {
	const usual = "\x61v" + linkHead
	if o := r.o; !r.bad && len(r.b)-o >= len(usual)+32 && string(r.b[o:o+len(usual)]) == usual {
		r.o += len(usual) + 32
		return
	}
	r.expect("\x61v\xd8\x2a")
	c := r.take(r.head(0x40))
	if r.bad || len(c) < 2 || len(c) > maxCID+1 || c[0] != 0 {
		r.bad = true
		return
	}
	if n, _, err := cid.CidFromBytes(c[1:]); err != nil || n != len(c)-1 {
		r.bad = true
	}
}

// headLen is the length of a CBOR head with argument n.
func headLen(n int) int {
	switch {
	case n < 24:
		return 1
	case n < 256:
		return 2
	}
	return 3
}

// appendHead appends a CBOR head; n is below 2^16.
func appendHead(dst []byte, major byte, n int) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 256:
		return append(dst, major|24, byte(n))
	}
	return append(dst, major|25, byte(n>>8), byte(n))
}

func appendLink(dst, sum []byte) []byte {
	if sum == nil {
		return append(dst, null)
	}
	dst = append(dst, linkHead...)
	return append(dst, sum...)
}

func appendEntry(dst []byte, prefix int, suffix, link, val []byte) []byte {
	dst = append(dst, entryHead...)
	dst = appendHead(dst, 0x40, len(suffix))
	dst = append(dst, suffix...)
	dst = append(dst, 0x61, 'p')
	dst = appendHead(dst, 0x00, prefix)
	dst = append(dst, 0x61, 't')
	dst = appendLink(dst, link)
	dst = append(dst, 0x61, 'v', 0xd8, 0x2a)
	dst = appendHead(dst, 0x40, len(val)+1)
	dst = append(dst, 0)
	return append(dst, val...)
}

func entryLen(prefix int, suffix, link, val []byte) int {
	n := len(entryHead) + headLen(len(suffix)) + len(suffix) + 2 + headLen(prefix) + 2 + 1 +
		4 + headLen(len(val)+1) + 1 + len(val)
	if link != nil {
		n += linkLen - 1
	}
	return n
}
