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
	if t.root == nil && t.invalid == nil {
		return Diff{Root: t.Root()}, nil
	}
	if err := t.ready(); err != nil {
		return Diff{}, err
	}
	list := t.sealed[:0]
	if t.root.dirty {
		list = t.root.seal(list)
		t.sealed = list
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
	t.done()
	t.epoch++
	return d, nil
}

// diff sorts the sealed nodes against the ones they replace.
func (t *Tree) diff(d *Diff, list, proof []*node) {
	match := matchAll
	if len(list)*len(t.old) > 1000 {
		match = matchIndexed
	}
	match(list, t.old)
	count := len(list) + len(t.old)
	for _, n := range proof {
		if !n.dirty || !n.fresh {
			count++
		}
	}
	nodes := make([]Node, 0, count)
	var ids cids
	ids.b.Grow(36 * count)
	export := func(n *node) Node {
		return Node{CID: ids.make(&n.sum), Level: int(n.level), After: n.after, Block: n.block}
	}
	for _, n := range list {
		if n.fresh {
			nodes = append(nodes, export(n))
		}
	}
	fresh := len(nodes)
	d.New = nodes[:fresh:fresh]
	for i := range t.old {
		o := &t.old[i]
		if o.stale {
			nodes = append(nodes, Node{CID: ids.make(&o.sum), Level: int(o.level), After: o.after})
		}
		if o.gone {
			d.Gone = append(d.Gone, Position{int(o.level), o.after})
		}
	}
	stale := len(nodes)
	d.Stale = nodes[fresh:stale:stale]
	for _, n := range proof {
		if !n.dirty || !n.fresh {
			nodes = append(nodes, export(n))
		}
	}
	d.Proof = nodes[stale:len(nodes):len(nodes)]
	for _, n := range list {
		if n.moved {
			d.Moved = append(d.Moved, export(n))
		}
	}
}

// matchAll finds for each sealed node whether its content is new and if not whether its position is, for each old one
// whether its content is no longer there and whether its position is empty.
func matchAll(list []*node, old []record) {
	for _, n := range list {
		n.fresh, n.moved = true, false
	}
	for i := range old {
		o := &old[i]
		o.stale, o.gone = true, true
		for _, n := range list {
			at := n.level == o.level && n.after == o.after
			if at {
				o.gone = false
			}
			if n.sum == o.sum {
				o.stale, n.fresh, n.moved = false, false, !at
			}
		}
	}
}

// matchIndexed is matchAll for many nodes.
func matchIndexed(list []*node, old []record) {
	is := make(map[digest]*node, len(list))
	at := make(map[Position]*node, len(list))
	for _, n := range list {
		n.fresh, n.moved = true, false
		is[n.sum] = n
		at[Position{int(n.level), n.after}] = n
	}
	for i := range old {
		o := &old[i]
		n, there := is[o.sum], at[Position{int(o.level), o.after}]
		o.stale, o.gone = n == nil, there == nil
		if n != nil {
			n.fresh, n.moved = false, n != there
		}
	}
}

func (n *node) export() Node {
	return Node{CID: nodeCID(&n.sum), Level: int(n.level), After: n.after, Block: n.block}
}

// proof lists the nodes that undoing the ops reads, each once: for a created key the way to it and to both its
// neighbours, for a deleted one the way to the gap, all in the new tree; for an update nothing. With the new nodes this
// is enough for every order of undoing.
//
// spec: sync#message-validation-checklist (operation inversion; the rule was found by trying all orders)
func (t *Tree) proof() (list []*node, err error) {
	list = t.proven[:0]
	from := t.root
	if len(t.made) == 1 && len(t.gone) == 0 && t.holder != nil {
		from = t.holder // what is above is new
	}
	for _, keys := range [2][]string{t.made, t.gone} {
		for _, key := range keys {
			if err == nil {
				list, err = t.prove(list, from, key)
			}
		}
	}
	for _, n := range list {
		n.mark = false
	}
	t.proven = list
	return list, err
}

func (t *Tree) prove(list []*node, n *node, key string) ([]*node, error) {
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
