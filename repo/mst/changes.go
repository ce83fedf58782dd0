package mst

import (
	"bytes"

	"github.com/ipfs/go-cid"
)

// Change is a key whose value differs between two trees; cid.Undef where it is not.
type Change struct {
	Key      string
	Old, New cid.Cid
}

// Changes lists what differs between two trees, in order. Equal subtrees are not read.
func Changes(from, to cid.Cid, load Loader) ([]Change, error) {
	if from == to {
		return nil, nil
	}
	a, err := newCursor(from, load)
	if err != nil {
		return nil, err
	}
	b, err := newCursor(to, load)
	if err != nil {
		return nil, err
	}
	var out []Change
	for !a.done() || !b.done() {
		switch la, lb := a.childLevel(), b.childLevel(); {
		case la >= 0 && la == lb && a.sum() == b.sum():
			a.next()
			b.next()
		case la >= 0 && la >= lb:
			err = a.enter()
			if la == lb && err == nil {
				err = b.enter()
			}
		case lb >= 0:
			err = b.enter()
		default:
			var c Change
			if c, err = differing(a, b); err == nil && c.Old != c.New {
				out = append(out, c)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// differing takes the smaller key of two cursors, or both when equal, and moves on. Old and New are the same when the
// entries are.
func differing(a, b *cursor) (c Change, err error) {
	order := 0
	switch {
	case a.done():
		order = 1
	case b.done():
		order = -1
	default:
		order = bytes.Compare(a.key(), b.key())
	}
	if order == 0 && bytes.Equal(a.val(), b.val()) {
		a.next()
		b.next()
		return c, nil
	}
	if order <= 0 {
		c.Key = string(a.key())
		if c.Old, err = cid.Cast(a.val()); err != nil {
			return c, err
		}
		a.next()
	}
	if order >= 0 {
		c.Key = string(b.key())
		if c.New, err = cid.Cast(b.val()); err != nil {
			return c, err
		}
		b.next()
	}
	return c, nil
}

// cursor goes over the children and entries of a tree in order, entering children only when told.
type cursor struct {
	t     *Tree
	stack []frame
}

// frame stands at the child in slot, or, past it, at the entry of that number.
type frame struct {
	n     *node
	slot  int
	entry bool
	e     entry
	link  int // of the child in slot
	o     int // where entry number slot begins
	key   []byte
}

func newCursor(root cid.Cid, load Loader) (*cursor, error) {
	c := &cursor{t: Open(root, load)}
	if err := c.t.ready(); err != nil {
		return nil, err
	}
	c.push(c.t.root)
	return c, nil
}

func (c *cursor) push(n *node) {
	c.stack = append(c.stack, frame{n: n, link: n.leftLink(), o: entriesAt(n.block)})
	if n.leftLink() == 0 {
		c.next()
	}
}

func (c *cursor) done() bool  { return len(c.stack) == 0 }
func (c *cursor) top() *frame { return &c.stack[len(c.stack)-1] }

// next goes to the next entry or child.
func (c *cursor) next() {
	for !c.done() {
		f := c.top()
		switch {
		case !f.entry && f.slot < f.n.count:
			f.e, f.entry = parse(f.n.block, f.o), true
			f.key = append(f.key[:f.e.prefix], f.n.block[f.e.key:f.e.keyEnd]...)
			return
		case f.entry:
			f.slot++
			f.entry, f.link, f.o = false, f.e.link, f.e.end
			if f.link > 0 {
				return
			}
		default:
			c.stack = c.stack[:len(c.stack)-1]
		}
	}
}

// childLevel is the level of the child the cursor stands at; -1 at an entry or the end.
func (c *cursor) childLevel() int {
	if c.done() || c.top().entry {
		return -1
	}
	return int(c.top().n.level) - 1
}

func (c *cursor) sum() digest { f := c.top(); return digest(f.n.block[f.link:]) }
func (c *cursor) key() []byte { return c.top().key }
func (c *cursor) val() []byte { f := c.top(); return f.n.block[f.e.val:f.e.end] }

func (c *cursor) enter() error {
	f := c.top()
	n, err := c.t.fetch(Ref{Digest: c.sum(), Level: int(f.n.level) - 1})
	if err != nil {
		return err
	}
	c.push(n)
	return nil
}
