package mst

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
)

// Errors of a tree.
var (
	ErrNotFound = errors.New("mst: block not found") // a Loader has no such block
	ErrExists   = errors.New("mst: key exists")
	ErrMissing  = errors.New("mst: no such key")
)

// Loader gives a node's block. The tree keeps the slice: nobody may write to it again. A missing block is ErrNotFound.
// The digest is not checked: blocks come from a store that is trusted for that, or through Verified.
type Loader func(c cid.Cid) ([]byte, error)

// Ref names a node to load: by digest, and by where it stands. The root's level is not known before it is read: -1.
type Ref struct {
	Digest [32]byte
	Level  int
	After  string
}

// CID is the node's CID.
func (r Ref) CID() cid.Cid { return nodeCID(&r.Digest) }

// RefLoader is a Loader that may use the node's position.
type RefLoader func(Ref) ([]byte, error)

// Refs lets a Loader stand as a RefLoader.
func (l Loader) Refs() RefLoader {
	if l == nil {
		return nil
	}
	return func(r Ref) ([]byte, error) { return l(r.CID()) }
}

// Tree is a tree that loads its nodes as it needs them and keeps them. A Tree and its clones share nodes and must not
// be used by two goroutines at once.
type Tree struct {
	load    RefLoader
	baseSum digest
	base    *node // root of the committed state; nil: not loaded
	root    *node // root as edited
	epoch   uint32
	plain   bool  // positions do not matter: read no more than the undoing of ops may
	shared  bool  // with clones: edits copy the nodes they change
	invalid error // the root is no node's CID
	broken  error // an edit failed half way
	*work         // of the edit in progress
}

// work is what an edit needs until it is committed.
type work struct {
	old     []record // nodes of the committed state that are replaced
	made    []string // keys created
	holder  *node    // which the last key was put in; nil once anything else was done
	gone    []string // keys deleted
	path    []step
	items   []item
	scratch []byte
	sealed  []*node
	proven  []*node
}

// record is a node that is being replaced.
type record struct {
	sum   digest
	after string
	level int8
	stale bool // its content is in no new node
	gone  bool // no new node stands where it stood
}

var works = sync.Pool{New: func() any { return new(work) }}

// done gives the edit's memory back.
func (t *Tree) done() {
	w := t.work
	if w == nil {
		return
	}
	clear(w.old)
	clear(w.made)
	clear(w.gone)
	clear(w.path[:cap(w.path)])
	clear(w.items[:cap(w.items)])
	clear(w.sealed)
	clear(w.proven)
	*w = work{
		old: w.old[:0], made: w.made[:0], gone: w.gone[:0], path: w.path[:0], items: w.items[:0],
		scratch: w.scratch[:0], sealed: w.sealed[:0], proven: w.proven[:0],
	}
	t.work = nil
	works.Put(w)
}

// step is one node on the way to a key.
type step struct {
	n  *node
	at place
}

// Open is the tree with this root, none of it loaded yet.
func Open(root cid.Cid, load Loader) *Tree { return OpenRef(root, load.Refs()) }

// OpenRef is Open for a loader by position.
func OpenRef(root cid.Cid, load RefLoader) *Tree {
	t := &Tree{load: load}
	t.baseSum, t.invalid = nodeDigest(root)
	return t
}

// Partial is a tree of which some nodes are missing, good for undoing ops: it reads no more than finding the root
// needs, and its Commit gives the root only.
func Partial(root cid.Cid, load Loader) *Tree {
	t := Open(root, load)
	t.plain = true
	return t
}

// Clone is another tree in t's last committed state, sharing what t has loaded; a nil load keeps t's. From then on
// edits of either copy the nodes they change.
func (t *Tree) Clone(load RefLoader) *Tree {
	if load == nil {
		load = t.load
	}
	c := &Tree{load: load, baseSum: t.baseSum, epoch: t.epoch, plain: t.plain, invalid: t.invalid}
	if t.shared || !t.edited() {
		t.shared = true
		c.shared, c.base, c.root = true, t.base, t.base
	}
	return c
}

// edited tells whether there is anything to commit. A key put above the root may replace no node at all.
func (t *Tree) edited() bool {
	return t.work != nil && (len(t.old) > 0 || len(t.made) > 0 || len(t.gone) > 0)
}

// Reset drops all edits since the last commit. A tree that shares nothing with a clone has to load its nodes again.
func (t *Tree) Reset() {
	if t.edited() && !t.shared {
		t.base = nil
	}
	t.root, t.broken = t.base, nil
	t.done()
}

// Root is the CID of the last committed state.
func (t *Tree) Root() cid.Cid { return nodeCID(&t.baseSum) }

// ready loads the root.
func (t *Tree) ready() error {
	if err := cmp.Or(t.invalid, t.broken); err != nil {
		return err
	}
	if t.work == nil {
		t.work = works.Get().(*work)
	}
	if t.root != nil {
		return nil
	}
	if t.baseSum == emptySum {
		t.base = &node{block: []byte(emptyBlock), sum: emptySum}
		t.root = t.base
		return nil
	}
	n, err := t.fetch(Ref{Digest: t.baseSum, Level: -1})
	if err != nil {
		return err
	}
	t.base, t.root = n, n
	return nil
}

var emptySum = [32]byte(EmptyRoot.Hash()[2:])

// fetch loads and checks one node. Level -1 (the root) is worked out from its first key.
func (t *Tree) fetch(r Ref) (*node, error) {
	if t.load == nil {
		return nil, fmt.Errorf("load node %s: %w", r.CID(), ErrNotFound)
	}
	b, err := t.load(r)
	if err != nil {
		return nil, fmt.Errorf("load node %s: %w", r.CID(), err)
	}
	n, err := newNode(b, r)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", r.CID(), err)
	}
	n.used = t.epoch
	return n, nil
}

func newNode(b []byte, r Ref) (*node, error) {
	s, err := check(b)
	if err != nil {
		return nil, err
	}
	switch {
	case s.count == 0 && (r.Level < 0 || !s.left):
		return nil, invalid("no entries")
	case r.Level < 0:
		r.Level = levelOf(b[s.first:s.firstEnd])
	}
	switch {
	case r.Level == 0 && s.links:
		return nil, invalid("a child below level 0")
	case r.Level >= MaxDepth:
		return nil, invalid("level %d", r.Level)
	case s.count > 0 && string(b[s.first:s.firstEnd]) <= r.After:
		return nil, invalid("first key is not behind the one it hangs after")
	}
	return &node{block: b, sum: r.Digest, after: r.After, count: s.count, level: int8(r.Level), left: s.left}, nil
}

// child is the child in slot, whose digest stands at link; nil when link is 0.
func (t *Tree) child(n *node, slot, link int) (*node, error) {
	if link == 0 {
		return nil, nil
	}
	k := n.kid(slot)
	if k == nil {
		var err error
		k, err = t.fetch(Ref{Digest: digest(n.block[link:]), Level: int(n.level) - 1, After: n.afterSlot(slot)})
		if err != nil {
			return nil, err
		}
		n.setKid(slot, k)
	}
	k.used = t.epoch
	return k, nil
}

// descend fills t.path with the way to key, down to level h or to where there is no child.
func (t *Tree) descend(key string, h int) error {
	t.path = t.path[:0]
	n := t.root
	n.used = t.epoch
	for {
		at := n.seek(key)
		if at.found != (at.found && int(n.level) == h) {
			return invalid("key of level %d on level %d", h, n.level)
		}
		t.path = append(t.path, step{n, at})
		if int(n.level) <= h {
			return nil
		}
		k, err := t.child(n, at.slot, at.link)
		if err != nil {
			return err
		}
		if k == nil {
			return nil
		}
		n = k
	}
}

// Get is the value under key; false when there is none.
func (t *Tree) Get(key string) (cid.Cid, bool, error) {
	if err := checkKey(key); err != nil {
		return cid.Undef, false, err
	}
	if err := t.ready(); err != nil {
		return cid.Undef, false, err
	}
	if err := t.descend(key, KeyLevel(key)); err != nil {
		return cid.Undef, false, err
	}
	last := t.path[len(t.path)-1]
	if !t.edited() {
		t.done()
	}
	if !last.at.found {
		return cid.Undef, false, nil
	}
	c, err := last.n.value(last.at.off)
	return c, err == nil, err
}

func (n *node) value(off int) (cid.Cid, error) {
	e := parse(n.block, off)
	return cid.Cast(n.block[e.val:e.end])
}

// Loaded reports how many nodes are in memory and about how many bytes they take.
func (t *Tree) Loaded() (nodes, bytes int) {
	if t.base == nil {
		return 0, 0
	}
	return t.base.size()
}

const nodeBytes = 192 // of the struct itself

func (n *node) size() (nodes, bytes int) {
	nodes, bytes = 1, nodeBytes+cap(n.block)+len(n.after)+8*len(n.far)
	n.kids(func(_ int, k *node) {
		c, b := k.size()
		nodes, bytes = nodes+c, bytes+b
	})
	return nodes, bytes
}

func (n *node) kids(f func(slot int, k *node)) {
	for i, k := range n.near {
		if k != nil {
			f(i, k)
		}
	}
	for i, k := range n.far {
		if k != nil {
			f(nearKids+i, k)
		}
	}
}

// Forget drops the nodes of the committed state that the last keep commits did not touch and reports what remains. It
// is how a kept tree stays small: about 30 nodes (20 KB) spare an account that appends nearly every read.
func (t *Tree) Forget(keep int) (nodes, bytes int) {
	if t.base == nil {
		return 0, 0
	}
	if t.epoch >= uint32(keep) {
		t.base.forget(t.epoch - uint32(keep))
	}
	return t.base.size()
}

// forget drops children last used before epoch. A node is used whenever one below it is.
func (n *node) forget(epoch uint32) {
	n.kids(func(slot int, k *node) {
		if k.used < epoch {
			n.setKid(slot, nil)
			return
		}
		k.forget(epoch)
	})
}
