package mst

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	indigonew "github.com/bluesky-social/indigo/atproto/repo/mst"
	"github.com/ipfs/go-cid"
)

// raw is an entry as it is to stand in a block, right or wrong.
type raw struct {
	prefix int
	suffix string
	link   []byte
	val    cid.Cid
}

func rawNode(left []byte, entries ...raw) []byte {
	b := appendHead([]byte(nodeHead), 0x80, len(entries))
	for _, e := range entries {
		if !e.val.Defined() {
			e.val = val(1)
		}
		b = appendEntry(b, e.prefix, []byte(e.suffix), e.link, e.val.Bytes())
	}
	return appendLink(append(b, 0x61, 'l'), left)
}

var someLink = bytes.Repeat([]byte{7}, 32)

func goodNode() []byte {
	return rawNode(someLink, raw{0, "a/bc", nil, cid.Undef}, raw{3, "d", someLink, cid.Undef},
		raw{2, strings.Repeat("x", 30), nil, cid.MustParse("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n")},
		raw{31, strings.Repeat("y", 300), someLink, cid.Undef})
}

func TestCheckTakes(t *testing.T) {
	for _, b := range [][]byte{goodNode(), EmptyBlock(), rawNode(nil, raw{0, "k", nil, cid.Undef})} {
		if _, err := check(b); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
	if sumOf(EmptyBlock()) != EmptyRoot {
		t.Error("the empty block has another CID")
	}
}

func TestCheckRefuses(t *testing.T) {
	good := goodNode()
	one := rawNode(nil, raw{0, "abc", nil, cid.Undef})
	sub := func(b []byte, old, with string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%x holds no %x", b, old)
		}
		return bytes.Replace(b, []byte(old), []byte(with), 1)
	}
	many := make([]raw, MaxEntries+1)
	for i := range many {
		many[i] = raw{suffix: fmt.Sprintf("%04d", i)}
		if i > 0 {
			many[i].prefix = common(many[i].suffix, fmt.Sprintf("%04d", i-1))
			many[i].suffix = many[i].suffix[many[i].prefix:]
		}
	}
	cases := map[string][]byte{
		"nothing":              {},
		"trailing byte":        append(slices.Clone(good), 0),
		"two items":            append(EmptyBlock(), EmptyBlock()...),
		"no entries but null":  []byte("\xa2\x61e\xf6\x61l\xf6"),
		"missing l":            []byte("\xa1\x61e\x80"),
		"field order":          []byte("\xa2\x61l\xf6\x61e\x80"),
		"extra field":          []byte("\xa3\x61e\x80\x61l\xf6\x61m\xf6"),
		"indefinite map":       []byte("\xbf\x61e\x80\x61l\xf6\xff"),
		"indefinite array":     []byte("\xa2\x61e\x9f\xff\x61l\xf6"),
		"long array head":      []byte("\xa2\x61e\x98\x00\x61l\xf6"),
		"array too long":       []byte("\xa2\x61e\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x61l\xf6"),
		"long key head":        sub(one, "\x43abc", "\x58\x03abc"),
		"text key":             sub(one, "\x43abc", "\x63abc"),
		"empty key":            rawNode(nil, raw{}),
		"long prefix head":     sub(one, "\x61p\x00", "\x61p\x18\x00"),
		"negative prefix":      sub(one, "\x61p\x00", "\x61p\x20"),
		"first prefix 1":       rawNode(nil, raw{1, "bc", nil, cid.Undef}),
		"prefix past the key":  rawNode(nil, raw{0, "ab", nil, cid.Undef}, raw{3, "c", nil, cid.Undef}),
		"prefix not longest":   rawNode(nil, raw{0, "ab", nil, cid.Undef}, raw{0, "ac", nil, cid.Undef}),
		"same key":             rawNode(nil, raw{0, "ab", nil, cid.Undef}, raw{2, "", nil, cid.Undef}),
		"falling":              rawNode(nil, raw{0, "ab", nil, cid.Undef}, raw{1, "a", nil, cid.Undef}),
		"falling to a prefix":  rawNode(nil, raw{0, "abc", nil, cid.Undef}, raw{2, "", nil, cid.Undef}),
		"key too long":         rawNode(nil, raw{0, strings.Repeat("k", MaxKeyLen+1), nil, cid.Undef}),
		"missing t":            sub(sub(one, "\x61t\xf6", ""), "\xa4", "\xa3"),
		"undefined link":       sub(one, "\x61t\xf6", "\x61t\xf7"),
		"entry fields swapped": sub(one, "\x61k\x43abc\x61p\x00", "\x61p\x00\x61k\x43abc"),
		"raw node link":        sub(good, "\x61t"+linkHead, "\x61t\xd8\x2a\x58\x25\x00\x01\x55\x12\x20"),
		"value without tag":    sub(one, "\x61v\xd8\x2a", "\x61v"),
		"value of another tag": sub(one, "\x61v\xd8\x2a", "\x61v\xd8\x2b"),
		"value without zero":   sub(one, "\x61v\xd8\x2a\x58\x25\x00", "\x61v\xd8\x2a\x58\x25\x01"),
		"value cut":            sub(one, "\x58\x25\x00\x01\x71\x12\x20", "\x58\x25\x00\x01\x71\x12\x21"),
		"value null":           sub(one, string(one[len(one)-3-41:len(one)-3]), "\xf6"),
		"too many entries":     rawNode(nil, many...),
		"too large":            append(slices.Clone(good), make([]byte, maxBlock)...),
	}
	for name, b := range cases {
		if _, err := check(b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range good {
		if _, err := check(good[:i]); err == nil {
			t.Errorf("cut at %d", i)
		}
	}
	for i := range good {
		for bit := range 8 {
			b := slices.Clone(good)
			b[i] ^= 1 << bit
			checkRoundTrip(t, b)
		}
	}
}

// checkRoundTrip says that a block either is refused or is exactly what its entries pack to.
func checkRoundTrip(t *testing.T, b []byte) {
	t.Helper()
	s, err := check(b)
	if err != nil {
		if !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		return
	}
	n := &node{block: b, count: s.count, left: s.left}
	var again node
	again.pack(n.appendItems(nil))
	if !bytes.Equal(again.block, b) || again.count != n.count || again.left != n.left {
		t.Fatalf("%x packs to %x", b, again.block)
	}
	var keys []string
	for i := range n.count {
		keys = append(keys, string(n.appendKey(nil, i)))
	}
	if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Fatalf("keys %q", keys)
	}
	if s.count > 0 && string(b[s.first:s.firstEnd]) != keys[0] {
		t.Fatalf("first key %q, want %q", b[s.first:s.firstEnd], keys[0])
	}
	for i, key := range keys {
		for _, k := range []string{key, key + "\x00", key[:len(key)-1] + string(key[len(key)-1]-1), key[:len(key)-1], ""} {
			checkSeek(t, n, keys, k)
		}
		if e := n.linkAt(i + 1); e != 0 && string(b[e-len(linkHead):e]) != linkHead {
			t.Fatalf("link of slot %d at %d", i+1, e)
		}
	}
}

func checkSeek(t *testing.T, n *node, keys []string, key string) {
	t.Helper()
	slot, found := slices.BinarySearch(keys, key)
	at := n.seek(key)
	if at.slot != slot || at.found != found || at.link != n.linkAt(slot) {
		t.Fatalf("seek %q in %q: %+v, want %d, %t", key, keys, at, slot, found)
	}
	if slot > 0 && at.shared != common(keys[slot-1], key) {
		t.Fatalf("seek %q in %q: shared %d", key, keys, at.shared)
	}
	if slot < len(keys) && at.next != common(keys[slot], key) {
		t.Fatalf("seek %q in %q: next %d", key, keys, at.next)
	}
}

// TestCIDs holds what the conversion in cids takes for granted.
func TestCIDs(t *testing.T) {
	var m cids
	for i := range 5 {
		d := digest{byte(i)}
		if c, want := m.make(&d), nodeCID(&d); c != want || c.String() != want.String() {
			t.Fatalf("%s, want %s", c, want)
		}
	}
}

func FuzzNode(f *testing.F) {
	f.Add(goodNode())
	f.Add(EmptyBlock())
	f.Add(rawNode(nil, raw{0, "abc", nil, cid.Undef}, raw{2, "d", someLink, cid.Undef}))
	f.Add(rawNode(nil, raw{1, "abc", nil, cid.Undef}))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkRoundTrip(t, b)
		if _, err := check(b); err != nil {
			return
		}
		// Whatever is taken, indigo takes, and writes the same bytes again.
		nd, err := indigonew.NodeDataFromCBOR(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("indigo refuses %x: %v", b, err)
		}
		if again, _, err := nd.Bytes(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("indigo writes %x for %x: %v", again, b, err)
		}
		n, err := newNode(b, Ref{Level: -1})
		if err != nil {
			return
		}
		// An edit of it must end, and in order, whatever the keys' levels are.
		tree := Tree{root: n, base: n, load: func(Ref) ([]byte, error) { return nil, ErrNotFound }}
		for _, key := range []string{"a/b", "k", "zzz"} {
			if _, err := tree.Put(key, val(1)); err != nil {
				return
			}
		}
	})
}
