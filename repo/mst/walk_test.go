package mst

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	indigonew "github.com/bluesky-social/indigo/atproto/repo/mst"
	indigoold "github.com/bluesky-social/indigo/mst"
	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"
)

// keyAt gives the n-th key of a level.
func keyAt(level, n int) string {
	for i := 0; ; i++ {
		if key := fmt.Sprintf("l%d/%05d", level, i); KeyLevel(key) == level {
			if n == 0 {
				return key
			}
			n--
		}
	}
}

// graft builds blocks by hand.
type graft struct{ Blocks }

func (g graft) node(left []byte, entries ...raw) []byte {
	last := ""
	for i := range entries {
		e := &entries[i]
		key := e.suffix
		e.prefix = common(last, key)
		e.suffix, last = key[e.prefix:], key
	}
	b := rawNode(left, entries...)
	sum := sha256.Sum256(b)
	g.Blocks[sum] = b
	return sum[:]
}

func TestWalkRefuses(t *testing.T) {
	g := graft{Blocks{}}
	one := func(level, n int) raw { return raw{suffix: keyAt(level, n)} }
	with := func(e raw, link []byte) raw { e.link = link; return e }
	leaf := g.node(nil, one(0, 0))
	chain := leaf
	for range MaxDepth + 1 {
		chain = g.node(chain)
	}
	level1 := g.node(g.node(nil, raw{suffix: keyAt(0, 1)}), one(1, 0))
	low := keyAt(1, 0)
	bomb := leaf
	for level := 1; level < 20; level++ {
		e := make([]raw, 20)
		for i := range e {
			e[i] = raw{suffix: fmt.Sprintf("%c%02d", 'z', i), link: bomb}
		}
		bomb = g.node(bomb, e...)
	}
	cases := map[string][]byte{
		"a key of a higher level":      g.node(nil, one(0, 0), one(1, 0)),
		"a key of a lower level":       g.node(nil, raw{suffix: "l0/99999"[:2]}, one(1, 0), one(2, 0)),
		"a level skipped":              g.node(leaf, one(2, 0)),
		"below level 0":                g.node(nil, with(one(0, 0), g.node(nil, one(0, 1)))),
		"bare top":                     g.node(level1),
		"empty leaf":                   g.node(g.node(nil), one(1, 0)),
		"empty inner node":             g.node(g.node(nil), one(2, 0)),
		"left child behind":            g.node(g.node(nil, raw{suffix: "z/zz"}), one(1, 0)),
		"child before its key":         g.node(nil, with(one(1, 0), leaf)),
		"child past the next key":      g.node(nil, raw{suffix: low, link: g.node(nil, raw{suffix: "zz/z"})}, one(1, 1)),
		"the same child twice":         g.node(leaf, with(one(1, 0), leaf)),
		"a missing node":               g.node(someLink, one(1, 0)),
		"a chain of nodes without end": chain,
		"a bomb of links":              bomb,
	}
	for name, sum := range cases {
		d := digest(sum)
		err := Walk(nodeCID(&d), g.Load, func(string, cid.Cid) error { return nil })
		want := ErrInvalid
		if name == "a missing node" {
			want = ErrNotFound
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A node whose digest is wrong passes unless the loader looks.
	g.Blocks[digest(someLink)] = g.Blocks[digest(leaf)]
	c := nodeCID((*digest)(someLink))
	if err := Walk(c, g.Load, nil); err != nil {
		t.Error(err)
	}
	if err := Walk(c, Verified(g.Load), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("wrong digest: %v", err)
	}
	if err := Walk(cid.MustParse("bafkreihwoet2mghoduxannw3uqsq44a3if37i5omnlqmjcfuhcdegzpyn4"), g.Load, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("raw root: %v", err)
	}
}

// drawTree gives the keys of a tree, few or some hundred.
func drawTree(t *rapid.T) map[string]cid.Cid {
	keys := map[string]cid.Cid{}
	for range rapid.SampledFrom([]int{0, 1, 3, 40, 400}).Draw(t, "size") {
		key := fmt.Sprintf("app.bsky.%s/%d", rapid.SampledFrom([]string{"feed.post", "feed", "graph.follow"}).Draw(t, "c"),
			rapid.IntRange(0, 5000).Draw(t, "key"))
		keys[key] = val(rapid.IntRange(0, 9).Draw(t, "value"))
	}
	return keys
}

// TestReaders holds Build, Walk, Visit, Check, Path, Get and Changes against the map they speak of.
func TestReaders(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := newState(rt, drawTree(rt)), newState(rt, drawTree(rt))
		got := map[string]cid.Cid{}
		var order []string
		var nodes []Node
		err := Visit(a.tree.Root(), Verified(a.load), func(n Node) error {
			nodes = append(nodes, n)
			order = append(order, n.After+"\x00")
			return nil
		}, func(k string, v cid.Cid) error {
			got[k] = v
			order = append(order, k)
			return nil
		})
		if err != nil || !maps.Equal(got, a.keys) {
			rt.Fatalf("%v: %v", got, err)
		}
		if !slices.IsSorted(order) {
			rt.Fatalf("not the order of positions: %q", order)
		}
		for _, n := range nodes {
			if !sameNode(n, a.rows[n.Position()]) {
				rt.Fatalf("%v is not what Build gave", n.Position())
			}
		}
		s, err := Check(a.tree.Root(), a.load)
		if err != nil || s.Nodes != len(a.rows) || s.Records != len(a.keys) || s.Nodes != len(nodes) || s.Level != nodes[0].Level {
			rt.Fatalf("%+v: %v", s, err)
		}
		for _, key := range append(slices.Sorted(maps.Keys(b.keys)), slices.Sorted(maps.Keys(a.keys))...) {
			checkPath(rt, a, key)
		}
		checkChanges(rt, a, b)
	})
}

func checkPath(t failer, s *state, key string) {
	t.Helper()
	want, present := s.keys[key]
	if got, ok, err := s.tree.Get(key); err != nil || ok != present || got != want {
		t.Fatalf("get %q: %s, %t: %v", key, got, ok, err)
	}
	path, got, err := Path(s.tree.Root(), s.load, key)
	if err != nil || got != want {
		t.Fatalf("path to %q: %s: %v", key, got, err)
	}
	some := Blocks{}
	for _, n := range path {
		some.Add(n)
	}
	if _, again, err := Path(s.tree.Root(), Verified(some.Load), key); err != nil || again != want {
		t.Fatalf("proof of %q: %s: %v", key, again, err)
	}
	if last := path[len(path)-1]; !present && last.Level > 0 {
		n := node{block: last.Block, count: len(last.Block)}
		sh, _ := check(last.Block)
		n.count, n.left = sh.count, sh.left
		if n.seek(key).link != 0 {
			t.Fatalf("the proof that %q is absent stops above the gap", key)
		}
	}
}

func checkChanges(t failer, a, b *state) {
	t.Helper()
	for c, block := range b.blocks {
		a.blocks[c] = block
	}
	var want []Change
	all := maps.Clone(a.keys)
	maps.Copy(all, b.keys)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if a.keys[k] != b.keys[k] {
			want = append(want, Change{k, a.keys[k], b.keys[k]})
		}
	}
	got, err := Changes(a.tree.Root(), b.tree.Root(), a.load)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(sameCID)); diff != "" {
		t.Fatalf("changes: %s", diff)
	}
}

// TestIndigo says that both of indigo's trees have the same root.
func TestIndigo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := drawTree(rt)
		root, err := Build(sorted(keys), nil)
		if err != nil {
			rt.Fatal(err)
		}
		tree, err := indigonew.LoadTreeFromMap(keys)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := tree.RootCID(); err != nil || *got != root {
			rt.Fatalf("root %s, indigo's %s: %v", root, got, err)
		}
		if len(keys) == 0 {
			return // of which the older one has no canonical form
		}
		old := indigoold.NewEmptyMST((&store{}).layer().old())
		for k, v := range keys {
			if old, err = old.Add(t.Context(), k, v, -1); err != nil {
				rt.Fatal(err)
			}
		}
		if got, err := old.GetPointer(t.Context()); err != nil || got != root {
			rt.Fatalf("root %s, indigo's older %s: %v", root, got, err)
		}
	})
}

func TestBuildRefuses(t *testing.T) {
	seq := func(keys ...string) func(func(string, cid.Cid) bool) {
		return func(yield func(string, cid.Cid) bool) {
			for _, k := range keys {
				if !yield(k, val(1)) {
					return
				}
			}
		}
	}
	for want, keys := range map[error][]string{ErrOrder: {"b", "a"}, ErrKey: {""}} {
		if _, err := Build(seq(keys...), nil); !errors.Is(err, want) {
			t.Errorf("%q: %v", keys, err)
		}
	}
	if _, err := Build(seq("a", "a"), nil); !errors.Is(err, ErrOrder) {
		t.Error(err)
	}
	if _, err := Build(seq(string(make([]byte, MaxKeyLen+1))), nil); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	noValue := func(yield func(string, cid.Cid) bool) { yield("a", cid.Undef) }
	if _, err := Build(noValue, nil); err == nil {
		t.Error("built without a value")
	}
}

// TestPrefetch says that the query in the package's comment finds every node a commit reads.
func TestPrefetch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := map[string]cid.Cid{}
		for range rapid.SampledFrom([]int{0, 5, 60, 400}).Draw(rt, "size") {
			keys[drawKey(rt)] = val(rapid.IntRange(0, 5).Draw(rt, "value"))
		}
		s := newState(rt, keys)
		ops := drawOps(rt, keys, rapid.SampledFrom([]int{1, 2, 20}).Draw(rt, "most"))
		found := map[Position]bool{}
		for _, o := range ops {
			for p := range s.probe(o.key) {
				found[p] = true
			}
		}
		s.apply(OpenRef(s.tree.Root(), func(r Ref) ([]byte, error) {
			b, err := s.load(r.CID())
			if r.Level < 0 { // the root, whose level shows when it is read
				r.Level = levelOf(firstKey(b))
			}
			if err == nil && !found[Position{r.Level, r.After}] {
				rt.Fatalf("%d %q is read for %v", r.Level, r.After, ops)
			}
			return b, err
		}), ops)
	})
}

func firstKey(b []byte) []byte {
	s, _ := check(b)
	return b[s.first:s.firstEnd]
}

// probe is the query for one key.
func (s *state) probe(key string) map[Position]bool {
	best := map[int]string{}
	found := map[Position]bool{}
	for p := range s.rows {
		if p.After == key {
			found[p] = true
		}
		if last, ok := best[p.Level]; p.After < key && (!ok || p.After > last) {
			best[p.Level] = p.After
		}
	}
	for level, after := range best {
		found[Position{level, after}] = true
	}
	return found
}
