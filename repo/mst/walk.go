package mst

import (
	"github.com/ipfs/go-cid"
)

// Walk reads the whole tree in order and checks every rule of its form: keys rising over all nodes (so each subtree
// stands in the gap that links it), each on its level, children one level down, no empty leaf, no bare top, and each
// node as check reads it. Faults are ErrInvalid. Digests are the loader's to check (Verified).
func Walk(root cid.Cid, load Loader, entry func(key string, val cid.Cid) error) error {
	return Visit(root, load, nil, entry)
}

// Visit is Walk with the nodes, each before what is in it: with the records written where their entries stand this is
// the streaming order of an archive. Either function may be nil.
func Visit(root cid.Cid, load Loader, node func(Node) error, entry func(key string, val cid.Cid) error) error {
	w := walker{node: node, entry: entry}
	return w.run(root, load)
}

// Stats is what Check counted.
type Stats struct {
	Nodes, Records int
	Bytes          int // of nodes
	Level          int // of the root
}

// Check walks the tree for its form only.
func Check(root cid.Cid, load Loader) (Stats, error) {
	var w walker
	err := w.run(root, load)
	return w.stats, err
}

type walker struct {
	t     Tree
	stats Stats
	node  func(Node) error
	entry func(string, cid.Cid) error
	last  []byte           // the greatest key so far
	keys  [MaxDepth][]byte // the key at hand of each open level
}

func (w *walker) run(root cid.Cid, load Loader) error {
	d, err := nodeDigest(root)
	if err != nil {
		return err
	}
	w.t.load = load.Refs()
	if d != emptySum {
		return w.walk(Ref{Digest: d, Level: -1})
	}
	w.stats = Stats{Nodes: 1, Bytes: len(emptyBlock)}
	if w.node != nil {
		return w.node(Node{CID: EmptyRoot, Block: EmptyBlock()})
	}
	return nil
}

func (w *walker) walk(r Ref) error {
	n, err := w.t.fetch(r)
	if err != nil {
		return err
	}
	w.stats.Level = max(w.stats.Level, int(n.level))
	w.stats.Nodes++
	w.stats.Bytes += len(n.block)
	w.stats.Records += n.count
	if w.node != nil {
		if err := w.node(n.export()); err != nil {
			return err
		}
	}
	b, level := n.block, int(n.level)
	if n.left {
		err := w.walk(Ref{Digest: digest(b[len(b)-32:]), Level: level - 1, After: n.after})
		if err != nil {
			return err
		}
	}
	o := entriesAt(b)
	for range n.count {
		e := parse(b, o)
		o = e.end
		key := append(w.keys[level][:e.prefix], b[e.key:e.keyEnd]...)
		w.keys[level] = key
		if string(key) <= string(w.last) {
			return invalid("%q is not greater than the key before", key)
		}
		if h := levelOf(key); h != level {
			return invalid("%q of level %d stands on level %d", key, h, level)
		}
		w.last = append(w.last[:0], key...)
		var name string
		if w.entry != nil || e.link > 0 {
			name = string(key)
		}
		if w.entry != nil {
			c, err := cid.Cast(b[e.val:e.end])
			if err != nil {
				return invalid("value of %q: %v", key, err)
			}
			if err := w.entry(name, c); err != nil {
				return err
			}
		}
		if e.link > 0 {
			err := w.walk(Ref{Digest: digest(b[e.link:]), Level: level - 1, After: name})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Path is the nodes from the root to key, the proof that it is there with this value, or, with cid.Undef, down to the
// gap where it would be: all the way, as some readers stop at the key's level and others go on.
func Path(root cid.Cid, load Loader, key string) (path []Node, val cid.Cid, err error) {
	t := Open(root, load)
	if err := checkKey(key); err != nil {
		return nil, cid.Undef, err
	}
	if err := t.ready(); err != nil {
		return nil, cid.Undef, err
	}
	for n := t.root; n != nil; {
		path = append(path, n.export())
		at := n.seek(key)
		if at.found {
			val, err = n.value(at.off)
			return path, val, err
		}
		if n, err = t.child(n, at.slot, at.link); err != nil {
			return nil, cid.Undef, err
		}
	}
	return path, cid.Undef, nil
}
