package mst

import (
	"github.com/ipfs/go-cid"
)

// Position is where a node stands: unique in a tree, and the same while the keys around it stay.
type Position struct {
	Level int
	After string // the key it hangs after; "" on the left edge
}

// Node is one node of a tree. Nobody may write to Block.
type Node struct {
	CID   cid.Cid
	Level int
	After string
	Block []byte
}

// Position is where the node stands.
func (n *Node) Position() Position { return Position{n.Level, n.After} }

// Diff is what a commit does to the nodes of a tree.
//
// To store it by position: write New and Moved at their positions, delete Gone. To store it by CID: add New, remove
// Stale. An event carries New and Proof.
type Diff struct {
	Root  cid.Cid
	New   []Node     // nodes that the tree did not have, root first
	Moved []Node     // nodes it had at another position, content unchanged
	Stale []Node     // nodes it no longer has, without Block, at the position they had
	Gone  []Position // positions where no node stands any more
	Proof []Node     // unchanged nodes that somebody needs to undo the changes in any order
}

// Commit seals the edits and makes them the tree's state. After an error the edits are still there, to be Reset.
//
// What was made and is gone again, or is as it was before, is in no list.
func (t *Tree) Commit() (Diff, error) {
	if err := t.ready(); err != nil {
		return Diff{}, err
	}
	var list []*node
	if t.root.dirty {
		list = t.root.seal(make([]*node, 0, len(t.old)+4))
	}
	d := Diff{Root: nodeCID(&t.root.sum)}
	if !t.plain {
		proof, err := t.proof()
		if err != nil {
			return Diff{}, t.fail(err)
		}
		t.diff(&d, list, proof)
	}
	for _, n := range list {
		n.dirty = false
	}
	t.base, t.baseSum = t.root, t.root.sum
	t.old, t.made, t.gone = t.old[:0], t.made[:0], t.gone[:0]
	t.epoch++
	return d, nil
}

// small is up to where comparing all pairs beats a map.
const small = 24

// diff sorts the sealed nodes against the ones they replace.
func (t *Tree) diff(d *Diff, list, proof []*node) {
	had, has := byDigest(t.old), byDigest(list)
	at := byPosition(list)
	fresh := 0
	for _, n := range list {
		if n.fresh = had.find(n) == nil; n.fresh {
			fresh++
		}
	}
	nodes := make([]Node, 0, fresh+len(t.old))
	for _, n := range list {
		if n.fresh {
			nodes = append(nodes, n.export())
		} else if o := had.find(n); o.level != n.level || o.after != n.after {
			d.Moved = append(d.Moved, n.export())
		}
	}
	d.New = nodes[:fresh:fresh]
	for _, o := range t.old {
		if has.find(o) == nil {
			s := o.export()
			s.Block = nil
			nodes = append(nodes, s)
		}
		if at.find(o) == nil {
			d.Gone = append(d.Gone, Position{int(o.level), o.after})
		}
	}
	d.Stale = nodes[fresh:len(nodes):len(nodes)]
	for _, n := range proof {
		n.mark = false
		if !n.fresh {
			d.Proof = append(d.Proof, n.export())
		}
	}
	for _, n := range list {
		n.fresh = false
	}
}

func (n *node) export() Node {
	return Node{CID: nodeCID(&n.sum), Level: int(n.level), After: n.after, Block: n.block}
}

// index finds nodes by something.
type index[K comparable] struct {
	list []*node
	key  func(*node) K
	same func(a, b *node) bool
	m    map[K]*node
}

func newIndex[K comparable](list []*node, key func(*node) K, same func(a, b *node) bool) index[K] {
	x := index[K]{list: list, key: key, same: same}
	if len(list) > small {
		x.m = make(map[K]*node, len(list))
		for _, n := range list {
			x.m[key(n)] = n
		}
	}
	return x
}

func byDigest(list []*node) index[digest] {
	return newIndex(list, func(n *node) digest { return n.sum }, func(a, b *node) bool { return a.sum == b.sum })
}

func byPosition(list []*node) index[Position] {
	return newIndex(list,
		func(n *node) Position { return Position{int(n.level), n.after} },
		func(a, b *node) bool { return a.level == b.level && a.after == b.after })
}

func (x *index[K]) find(n *node) *node {
	if x.m != nil {
		return x.m[x.key(n)]
	}
	for _, o := range x.list {
		if x.same(o, n) {
			return o
		}
	}
	return nil
}

// proof lists the nodes that undoing the ops reads, each once: for a created key the way to it and to both its
// neighbours, for a deleted one the way to the gap, all in the new tree; for an update nothing. With the new nodes
// this is enough for every order of undoing.
//
// spec: sync#commit-validation (operation inversion); the rule was found by trying all orders
func (t *Tree) proof() (list []*node, err error) {
	for _, keys := range [2][]string{t.made, t.gone} {
		for _, key := range keys {
			if list, err = t.prove(list, key); err != nil {
				for _, n := range list {
					n.mark = false
				}
				return nil, err
			}
		}
	}
	return list, nil
}

func (t *Tree) prove(list []*node, key string) ([]*node, error) {
	n := t.root
	for n != nil {
		list = n.note(list)
		at := n.seek(key)
		k, err := t.child(n, at.slot, at.link)
		if err != nil {
			return list, err
		}
		if !at.found {
			n = k
			continue
		}
		for k != nil { // the neighbour before
			list = k.note(list)
			if k, err = t.child(k, k.count, k.linkAt(k.count)); err != nil {
				return list, err
			}
		}
		k, err = t.child(n, at.slot+1, parse(n.block, at.off).link)
		for err == nil && k != nil { // and behind
			list = k.note(list)
			k, err = t.child(k, 0, k.leftLink())
		}
		return list, err
	}
	return list, nil
}

func (n *node) note(list []*node) []*node {
	if n.mark {
		return list
	}
	n.mark = true
	return append(list, n)
}
