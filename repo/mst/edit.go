package mst

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
)

type mode uint8

const (
	modePut mode = iota
	modeInsert
	modeUpdate
)

// Put sets key to val and returns the value before, cid.Undef if there was none.
func (t *Tree) Put(key string, val cid.Cid) (prev cid.Cid, err error) {
	return t.set(key, val, modePut)
}

// Insert adds key. ErrExists if it is there.
func (t *Tree) Insert(key string, val cid.Cid) error {
	_, err := t.set(key, val, modeInsert)
	return err
}

// Update changes key and returns the value before. ErrMissing if it is not there.
func (t *Tree) Update(key string, val cid.Cid) (prev cid.Cid, err error) {
	return t.set(key, val, modeUpdate)
}

// fail marks the tree as unusable until Reset: the edit may be half done.
func (t *Tree) fail(err error) error {
	t.broken = err
	return err
}

func (t *Tree) set(key string, val cid.Cid, m mode) (prev cid.Cid, err error) {
	if err := checkKey(key); err != nil {
		return cid.Undef, err
	}
	if v := val.KeyString(); v == "" || len(v) > maxCID {
		return cid.Undef, fmt.Errorf("mst: set %s: value of %d bytes", key, len(v))
	}
	if err := t.ready(); err != nil {
		return cid.Undef, err
	}
	t.holder = nil
	h := KeyLevel(key)
	if h >= MaxDepth {
		return cid.Undef, fmt.Errorf("%w: level %d", ErrKey, h)
	}
	if int(t.root.level) < h || t.root.count == 0 { // only the empty tree's root has no entries
		if m == modeUpdate {
			return cid.Undef, ErrMissing
		}
		if err := t.raise(key, h, val); err != nil {
			return cid.Undef, t.fail(err)
		}
		t.made = append(t.made, key)
		return cid.Undef, nil
	}
	if err := t.descend(key, h); err != nil {
		return cid.Undef, t.fail(err)
	}
	last := t.path[len(t.path)-1]
	if last.at.found {
		if m == modeInsert {
			return cid.Undef, ErrExists
		}
		if prev, err = last.n.value(last.at.off); err != nil {
			return cid.Undef, t.fail(err)
		}
		if prev != val {
			t.ownPath().setValue(last.at, val)
		}
		return prev, nil
	}
	if m == modeUpdate {
		return cid.Undef, ErrMissing
	}
	if int(last.n.level) > h {
		t.hang(key, h, val)
	} else if err := t.insert(key, val); err != nil {
		return cid.Undef, t.fail(err)
	}
	t.made = append(t.made, key)
	return cid.Undef, nil
}

// own is n as a node that may be edited.
func (t *Tree) own(n *node) *node {
	if n.dirty {
		return n
	}
	t.retire(n)
	if t.shared {
		c := *n
		if n.far != nil {
			c.far = slices.Clone(n.far)
		}
		n = &c
	}
	n.dirty, n.owned = true, false
	return n
}

// retire takes a node, or its present form, out of the tree.
func (t *Tree) retire(n *node) {
	if !n.dirty {
		t.old = append(t.old, record{sum: n.sum, after: n.after, level: n.level})
	}
}

// create is a new node of these items.
func (t *Tree) create(level int8, after string, items []item) *node {
	n := &node{level: level, after: after, dirty: true, used: t.epoch}
	n.pack(items)
	return n
}

// ownPath owns every node on the path and returns the last.
func (t *Tree) ownPath() *node {
	for i := range t.path {
		s := &t.path[i]
		if s.n.dirty {
			continue
		}
		s.n = t.own(s.n)
		if i == 0 {
			t.root = s.n
		} else {
			p := &t.path[i-1]
			p.n.setKid(p.at.slot, s.n)
		}
	}
	return t.path[len(t.path)-1].n
}

func (n *node) setValue(at place, val cid.Cid) {
	e := parse(n.block, at.off)
	v := []byte(val.KeyString())
	if len(v) == e.end-e.val {
		n.patch(e.val, v)
		return
	}
	items := n.appendItems(nil)
	items[at.slot+1].val = v
	n.pack(items)
}

// leaf is a new node with one entry and the children beside it.
func (t *Tree) leaf(key string, h int, val cid.Cid, after string, l, r *node) *node {
	var items [2]item
	items[0].setChild(l)
	items[1] = item{suffix: []byte(key), val: []byte(val.KeyString())}
	items[1].setChild(r)
	return t.create(int8(h), after, items[:])
}

// lift puts nodes without entries on top of n up to level.
func (t *Tree) lift(n *node, level int) *node {
	for n != nil && int(n.level) < level {
		var items [1]item
		items[0].setChild(n)
		n = t.create(n.level+1, n.after, items[:])
	}
	return n
}

// raise inserts a key that stands above the root.
func (t *Tree) raise(key string, h int, val cid.Cid) error {
	var l, r *node
	if t.root.count == 0 {
		t.retire(t.root)
	} else {
		var err error
		if l, r, err = t.split(t.root, key); err != nil {
			return err
		}
	}
	t.root = t.leaf(key, h, val, "", t.lift(l, h-1), t.lift(r, h-1))
	return nil
}

// hang inserts a key below the last node of the path, where no child is.
func (t *Tree) hang(key string, h int, val cid.Cid) {
	n := t.ownPath()
	at := t.path[len(t.path)-1].at
	k := t.lift(t.leaf(key, h, val, n.afterSlot(at.slot), nil, nil), int(n.level)-1)
	t.items = n.appendItems(t.items[:0])
	t.items[at.slot].setChild(k)
	n.pack(t.items)
}

// insert adds the key to the last node of the path and splits the child in its way.
func (t *Tree) insert(key string, val cid.Cid) error {
	n, at := t.ownPath(), t.path[len(t.path)-1].at
	k, err := t.child(n, at.slot, at.link)
	if err != nil {
		return err
	}
	var l, r *node
	if k != nil {
		if l, r, err = t.split(k, key); err != nil {
			return err
		}
	}
	t.items = append(n.appendItems(t.items[:0]), item{})
	items := t.items
	copy(items[at.slot+2:], items[at.slot+1:])
	t.scratch = append(append(t.scratch[:0], key[at.shared:]...), val.KeyString()...)
	rest := len(key) - at.shared
	items[at.slot].setChild(l)
	items[at.slot+1] = item{prefix: at.shared, suffix: t.scratch[:rest], val: t.scratch[rest:]}
	items[at.slot+1].setChild(r)
	if at.slot+2 < len(items) {
		next := &items[at.slot+2]
		next.suffix = next.suffix[at.next-next.prefix:]
		next.prefix = at.next
	}
	n.pack(items)
	t.holder = n
	return nil
}

// split parts n at a key that it does not hold. Only nodes with keys on both sides are remade.
func (t *Tree) split(n *node, key string) (l, r *node, err error) {
	at := n.seek(key)
	if at.found {
		return nil, nil, invalid("key of another level")
	}
	k, err := t.child(n, at.slot, at.link)
	if err != nil {
		return nil, nil, err
	}
	var kl, kr *node
	if k != nil {
		if kl, kr, err = t.split(k, key); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case at.slot == n.count && kr == nil:
		return n, nil, nil
	case at.slot == 0 && kl == nil:
		if t.plain {
			return nil, n, nil
		}
		n = t.own(n)
		n.after = key
		n.setKid(0, kr)
		return nil, n, nil
	}
	t.retire(n)
	t.items = n.appendItems(t.items[:0])
	items := t.items
	if at.slot < n.count { // entry at.slot begins the right half
		t.scratch = n.appendKey(t.scratch[:0], at.slot)
		items[at.slot+1].prefix, items[at.slot+1].suffix = 0, t.scratch
	}
	items[at.slot].setChild(kl)
	l = t.create(n.level, n.after, items[:at.slot+1])
	items[at.slot] = item{}
	items[at.slot].setChild(kr)
	r = t.create(n.level, key, items[at.slot:])
	return l, r, nil
}

// Delete takes key out and returns its value. ErrMissing if it is not there.
func (t *Tree) Delete(key string) (prev cid.Cid, err error) {
	if err := checkKey(key); err != nil {
		return cid.Undef, err
	}
	if err := t.ready(); err != nil {
		return cid.Undef, err
	}
	t.holder = nil
	h := KeyLevel(key)
	if int(t.root.level) < h {
		return cid.Undef, ErrMissing
	}
	if err := t.descend(key, h); err != nil {
		return cid.Undef, t.fail(err)
	}
	last := t.path[len(t.path)-1]
	if !last.at.found {
		return cid.Undef, ErrMissing
	}
	if prev, err = last.n.value(last.at.off); err != nil {
		return cid.Undef, t.fail(err)
	}
	if err := t.remove(); err != nil {
		return cid.Undef, t.fail(err)
	}
	t.gone = append(t.gone, key)
	return prev, nil
}

// remove takes out the entry that the path ends at.
func (t *Tree) remove() error {
	n, at := t.ownPath(), t.path[len(t.path)-1].at
	e := parse(n.block, at.off)
	joined, err := t.join(n, at.slot, at.link, n, at.slot+1, e.link)
	if err != nil {
		return err
	}
	t.items = n.appendItems(t.items[:0])
	items := t.items
	if at.slot+2 < len(items) {
		if cut, next := &items[at.slot+1], &items[at.slot+2]; next.prefix > cut.prefix {
			t.scratch = append(append(t.scratch[:0], cut.suffix[:next.prefix-cut.prefix]...), next.suffix...)
			next.prefix, next.suffix = cut.prefix, t.scratch
		}
	}
	items[at.slot].join(&items[at.slot+1], joined)
	copy(items[at.slot+1:], items[at.slot+2:])
	n.pack(items[:len(items)-1])
	t.prune()
	return t.trim()
}

// prune drops the nodes at the end of the path that have nothing left.
func (t *Tree) prune() {
	for i := len(t.path) - 1; i > 0; i-- {
		if n := t.path[i].n; n.count > 0 || n.left {
			return
		}
		p := t.path[i-1]
		t.items = p.n.appendItems(t.items[:0])
		t.items[p.at.slot].setChild(nil)
		p.n.pack(t.items)
	}
}

// trim takes nodes without entries off the top.
func (t *Tree) trim() error {
	for t.root.count == 0 && t.root.left {
		k, err := t.child(t.root, 0, t.root.leftLink())
		if err != nil {
			return err
		}
		t.retire(t.root)
		t.root = k
	}
	if t.root.count == 0 && t.root.level > 0 {
		t.root.level = 0 // the empty tree; the root is dirty, its last entry just went
	}
	return nil
}

// move hangs n after another key: it and its left edge.
func (t *Tree) move(n *node, after string) (*node, error) {
	if t.plain || n.after == after {
		return n, nil
	}
	k, err := t.child(n, 0, n.leftLink()) // at the position it has been
	if err == nil && k != nil {
		k, err = t.move(k, after)
	}
	n = t.own(n)
	n.after = after
	n.setKid(0, k)
	return n, err
}

// join brings together the children in a's slot i and b's slot j, between which a key goes. Nil: one of them stays as
// it is, item.join knows which.
func (t *Tree) join(a *node, i, linkA int, b *node, j, linkB int) (*node, error) {
	if linkB == 0 || linkA == 0 && t.plain {
		return nil, nil
	}
	right, err := t.child(b, j, linkB)
	if err != nil {
		return nil, err
	}
	if linkA == 0 {
		return t.move(right, a.afterSlot(i))
	}
	left, err := t.child(a, i, linkA)
	if err != nil {
		return nil, err
	}
	return t.merge(left, right)
}

// join gives it the child that came of its own and right's.
func (it *item) join(right *item, joined *node) {
	if joined != nil {
		it.setChild(joined)
	} else if it.link == nil {
		it.link, it.kid = right.link, right.kid
	}
}

// merge makes one node of two neighbours.
func (t *Tree) merge(a, b *node) (*node, error) {
	joined, err := t.join(a, a.count, a.linkAt(a.count), b, 0, b.leftLink())
	if err != nil {
		return nil, err
	}
	t.retire(a)
	t.retire(b)
	t.items = b.appendItems(a.appendItems(t.items[:0]))
	items := t.items
	items[a.count].join(&items[a.count+1], joined)
	if a.count > 0 && b.count > 0 {
		t.scratch = a.appendKey(t.scratch[:0], a.count-1)
		first := &items[a.count+2]
		first.prefix = common(t.scratch, first.suffix)
		first.suffix = first.suffix[first.prefix:]
	}
	copy(items[a.count+1:], items[a.count+2:])
	return t.create(a.level, a.after, items[:len(items)-1]), nil
}
