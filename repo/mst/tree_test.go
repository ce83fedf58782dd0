package mst

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	indigonew "github.com/bluesky-social/indigo/atproto/repo/mst"
	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"
)

// val is a record CID.
func val(i int) cid.Cid {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(i))
	d := sha256.Sum256(b[:])
	return nodeCID(&d)
}

func sorted(m map[string]cid.Cid) iter.Seq2[string, cid.Cid] {
	return func(yield func(string, cid.Cid) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// state is a tree as a store keeps it, by position and by CID, beside the map it stands for.
type state struct {
	t      failer
	keys   map[string]cid.Cid
	tree   *Tree
	rows   map[Position]Node
	blocks map[cid.Cid][]byte
}

// failer is a test, of testing or rapid.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newState(t failer, keys map[string]cid.Cid) *state {
	s := &state{t: t, keys: maps.Clone(keys), rows: map[Position]Node{}, blocks: map[cid.Cid][]byte{}}
	root, err := Build(sorted(keys), func(n Node) {
		s.rows[n.Position()] = n
		s.blocks[n.CID] = n.Block
	})
	if err != nil {
		t.Fatal(err)
	}
	s.tree = Open(root, s.load)
	return s
}

func (s *state) load(c cid.Cid) ([]byte, error) {
	if b, ok := s.blocks[c]; ok {
		return b, nil
	}
	return nil, ErrNotFound
}

type op struct {
	key       string
	prev, val cid.Cid
}

func (s *state) apply(tree *Tree, ops []op) Diff {
	s.t.Helper()
	for _, o := range ops {
		var prev cid.Cid
		var err error
		switch {
		case !o.val.Defined():
			prev, err = tree.Delete(o.key)
		case !o.prev.Defined():
			err = tree.Insert(o.key, o.val)
		default:
			prev, err = tree.Update(o.key, o.val)
		}
		if err != nil || prev != o.prev {
			s.t.Fatalf("%v: prev %v, err %v", o, prev, err)
		}
	}
	d, err := tree.Commit()
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// commit applies ops, stores the difference both ways and checks the result against a tree built from scratch.
func (s *state) commit(tree *Tree, ops []op) Diff {
	s.t.Helper()
	before := s.tree.Root()
	d := s.apply(tree, ops)
	for _, o := range ops {
		if o.val.Defined() {
			s.keys[o.key] = o.val
		} else {
			delete(s.keys, o.key)
		}
	}
	want := newState(s.t, s.keys)
	if d.Root != want.tree.Root() || tree.Root() != d.Root {
		s.t.Fatalf("root %s, want %s", d.Root, want.tree.Root())
	}

	event := Blocks{}
	for _, n := range d.New {
		if _, ok := s.blocks[n.CID]; ok {
			s.t.Fatalf("new node %s was there", n.CID)
		}
		event.Add(n)
		s.blocks[n.CID] = n.Block
	}
	for _, n := range d.Stale {
		if s.rows[n.Position()].CID != n.CID {
			s.t.Fatalf("stale node %s did not stand at %v", n.CID, n.Position())
		}
		delete(s.blocks, n.CID)
	}
	if !maps.EqualFunc(want.blocks, s.blocks, bytes.Equal) {
		s.t.Fatalf("by CID: %s", cmp.Diff(want.blocks, s.blocks, cmp.Comparer(sameCID)))
	}
	for _, p := range d.Gone {
		if _, ok := s.rows[p]; !ok {
			s.t.Fatalf("nothing stood at %v", p)
		}
		delete(s.rows, p)
	}
	for _, n := range slices.Concat(d.New, d.Moved) {
		if n.CID != sumOf(n.Block) {
			s.t.Fatalf("block of %s has another digest", n.CID)
		}
		s.rows[n.Position()] = n
	}
	if !maps.EqualFunc(want.rows, s.rows, sameNode) {
		s.t.Fatalf("by position: %s", cmp.Diff(want.rows, s.rows, cmp.Comparer(sameCID)))
	}

	for _, n := range d.Proof {
		if _, ok := event[[32]byte(n.CID.Hash()[2:])]; ok {
			s.t.Fatalf("%s is sent twice", n.CID)
		}
		event.Add(n)
	}
	permute(ops, 4, func(ops []op) {
		root, err := undo(ops, d.Root, event.Load)
		if err != nil || root != before {
			s.t.Fatalf("undo %v: %s, want %s: %v", ops, root, before, err)
		}
	})
	if len(s.keys) > len(ops) && len(want.keys) > 2*len(ops) { // a tree that is emptied on the way it gets wrong
		if root, err := indigoUndo(ops, d.Root, event); err != nil || root != before {
			s.t.Fatalf("indigo undoes %v to %s, want %s: %v", ops, root, before, err)
		}
	}
	s.tree = tree
	return d
}

// indigoUndo takes ops back as indigo's relay does, deletes first, on the event's blocks.
func indigoUndo(ops []op, root cid.Cid, event Blocks) (cid.Cid, error) {
	from := &store{m: map[cid.Cid][]byte{}}
	for d, b := range event {
		from.m[nodeCID(&d)] = b
	}
	t, err := indigonew.LoadTreeFromStore(context.Background(), from, root)
	if err != nil {
		return cid.Undef, err
	}
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b op) int {
		if a.val.Defined() != b.val.Defined() {
			return map[bool]int{true: 1, false: -1}[a.val.Defined()]
		}
		return strings.Compare(a.key, b.key)
	})
	for _, o := range ops {
		if o.prev.Defined() {
			_, err = t.Insert([]byte(o.key), o.prev)
		} else {
			_, err = t.Remove([]byte(o.key))
		}
		if err != nil {
			return cid.Undef, err
		}
	}
	c, err := t.RootCID()
	if err != nil {
		return cid.Undef, err
	}
	return *c, nil
}

func sameCID(a, b cid.Cid) bool { return a == b }

func sameNode(a, b Node) bool {
	return a.CID == b.CID && a.Position() == b.Position() && bytes.Equal(a.Block, b.Block)
}

func sumOf(block []byte) cid.Cid {
	d := sha256.Sum256(block)
	return nodeCID(&d)
}

// undo takes ops back in their order.
func undo(ops []op, root cid.Cid, load Loader) (cid.Cid, error) {
	t := Partial(root, load)
	for _, o := range ops {
		var is cid.Cid
		var err error
		switch {
		case !o.prev.Defined():
			is, err = t.Delete(o.key)
		case !o.val.Defined():
			err = t.Insert(o.key, o.prev)
		default:
			is, err = t.Update(o.key, o.prev)
		}
		if err != nil || is != o.val {
			return cid.Undef, fmt.Errorf("%s: %s: %w", o.key, is, err)
		}
	}
	d, err := t.Commit()
	return d.Root, err
}

// permute calls f with every order of up to most ops, with some orders of more.
func permute(ops []op, most int, f func([]op)) {
	ops = slices.Clone(ops)
	if len(ops) > most {
		f(ops)
		slices.Reverse(ops)
		f(ops)
		rng := rand.New(rand.NewPCG(1, uint64(len(ops))))
		for range 4 {
			rng.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
			f(ops)
		}
		return
	}
	var rec func(k int)
	rec = func(k int) {
		if k == len(ops) {
			f(ops)
			return
		}
		for i := k; i < len(ops); i++ {
			ops[k], ops[i] = ops[i], ops[k]
			rec(k + 1)
			ops[k], ops[i] = ops[i], ops[k]
		}
	}
	rec(0)
}

// drawKey gives short keys, most of which are near each other, and spread over the levels.
func drawKey(t *rapid.T) string {
	return fmt.Sprintf("k/%0*d", rapid.IntRange(2, 3).Draw(t, "width"), rapid.IntRange(0, 199).Draw(t, "key"))
}

// drawOps gives ops to different keys that fit the state.
func drawOps(t *rapid.T, keys map[string]cid.Cid, most int) []op {
	var ops []op
	seen := map[string]bool{}
	present := slices.Sorted(maps.Keys(keys))
	for range rapid.IntRange(1, most).Draw(t, "ops") {
		key := drawKey(t)
		if len(present) > 0 && rapid.Bool().Draw(t, "present") {
			key = rapid.SampledFrom(present).Draw(t, "of")
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		o := op{key: key, prev: keys[key], val: val(rapid.IntRange(0, 5).Draw(t, "value"))}
		if o.prev.Defined() && (rapid.Bool().Draw(t, "delete") || o.prev == o.val) {
			o.val = cid.Undef
		}
		ops = append(ops, o)
	}
	return ops
}

// TestRandomCommits makes runs of commits on a tree that is kept, or loaded anew, or a clone whose first attempt was
// dropped, and after each holds all of commit's promises.
func TestRandomCommits(t *testing.T) {
	for range 20 { // of 100 checks
		rapid.Check(t, randomCommits)
	}
}

func randomCommits(rt *rapid.T) {
	keys := map[string]cid.Cid{}
	for range rapid.IntRange(0, 60).Draw(rt, "size") {
		keys[drawKey(rt)] = val(rapid.IntRange(0, 5).Draw(rt, "value"))
	}
	s := newState(rt, keys)
	for range rapid.IntRange(1, 5).Draw(rt, "commits") {
		ops := drawOps(rt, s.keys, rapid.SampledFrom([]int{1, 4, 30}).Draw(rt, "most"))
		tree := s.tree
		switch rapid.IntRange(0, 5).Draw(rt, "tree") {
		case 0:
			tree = Open(s.tree.Root(), s.load)
		case 1:
			tree = s.tree.Clone(nil)
		case 2:
			s.apply(s.tree.Clone(nil), ops) // lost
		case 3: // given up half way
			for _, o := range ops {
				if _, err := tree.Put(o.key, val(99)); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.Bool().Draw(rt, "clone") {
				tree = tree.Clone(nil)
			}
			tree.Reset()
		case 4:
			tree.Forget(rapid.IntRange(0, 2).Draw(rt, "keep"))
		}
		s.commit(tree, ops)
	}
}

func keysOf(m map[string]cid.Cid) iter.Seq[string] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
