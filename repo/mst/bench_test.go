package mst

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	indigonew "github.com/bluesky-social/indigo/atproto/repo/mst"
	indigoold "github.com/bluesky-social/indigo/mst"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
)

// The benchmarks hold this package against indigo's two trees: atproto/repo/mst ("indigo"), which has to load a whole
// tree before it can change it, and the older, lazy mst ("indigo-old"). Neither finds the nodes for undoing.

func randomKeys(n int, seed uint64) []string {
	const chars = "234567abcdefghijklmnopqrstuvwxyz"
	rng := rand.New(rand.NewPCG(seed, 7))
	keys := make([]string, n)
	for i := range keys {
		key := []byte("app.bsky.feed.post/3l___________")
		for j := len(key) - 11; j < len(key); j++ {
			key[j] = chars[rng.IntN(32)]
		}
		keys[i] = string(key)
	}
	return keys
}

// benchTree is a tree of random keys, built once.
type benchTree struct {
	once   sync.Once
	root   cid.Cid
	keys   []string // sorted
	blocks Blocks
	store  *store
}

var benchTrees = map[int]*benchTree{1_000: {}, 100_000: {}, 1_000_000: {}}

func (f *benchTree) build(n int) *benchTree {
	f.once.Do(func() {
		f.keys = randomKeys(n, 1)
		slices.Sort(f.keys)
		for i, k := range f.keys {
			f.keys[i] = strings.Clone(k) // in memory in order, too, as rows of a query would be
		}
		f.blocks, f.store = Blocks{}, &store{m: map[cid.Cid][]byte{}}
		f.root, _ = Build(f.all(), func(n Node) {
			f.blocks.Add(n)
			f.store.m[n.CID] = n.Block
		})
	})
	return f
}

func (f *benchTree) all() func(func(string, cid.Cid) bool) {
	v := val(1)
	return func(yield func(string, cid.Cid) bool) {
		for _, k := range f.keys {
			if !yield(k, v) {
				return
			}
		}
	}
}

// store is what indigo reads from: the fixture's blocks below, and what was written on top.
type store struct {
	m    map[cid.Cid][]byte
	over map[cid.Cid][]byte
}

func (s *store) layer() *store { return &store{m: s.m, over: map[cid.Cid][]byte{}} }

func (s *store) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	b, ok := s.over[c]
	if !ok {
		b, ok = s.m[c]
	}
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return blocks.NewBlockWithCid(b, c)
}

func (s *store) Put(_ context.Context, b blocks.Block) error {
	s.over[b.Cid()] = b.RawData()
	return nil
}

func (s *store) Has(context.Context, cid.Cid) (bool, error)          { return false, nil }
func (s *store) DeleteBlock(context.Context, cid.Cid) error          { return nil }
func (s *store) GetSize(context.Context, cid.Cid) (int, error)       { return 0, nil }
func (s *store) PutMany(context.Context, []blocks.Block) error       { return nil }
func (s *store) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, nil }
func (s *store) HashOnRead(bool)                                     {}

func (s *store) old() cbor.IpldStore {
	c := cbor.NewCborStore(s)
	c.DefaultMultihash = multihash.SHA2_256
	return c
}

func eachSize(b *testing.B, f func(b *testing.B, t *benchTree)) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) { f(b, benchTrees[n].build(n)) })
	}
}

// BenchmarkInsertCold inserts one random key into a tree of which nothing but the blocks is in memory.
func BenchmarkInsertCold(b *testing.B) {
	ctx, v, keys := context.Background(), val(2), randomKeys(4096, 2)
	eachSize(b, func(b *testing.B, f *benchTree) {
		b.Run("locus", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t := OpenRef(f.root, f.blocks.LoadRef)
				if err := t.Insert(keys[i%len(keys)], v); err != nil {
					b.Fatal(err)
				}
				if _, err := t.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("indigo-old", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t, err := indigoold.LoadMST(f.store.layer().old(), f.root).Add(ctx, keys[i%len(keys)], v, -1)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := t.GetPointer(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("indigo", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t, err := indigonew.LoadTreeFromStore(ctx, f.store, f.root)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := t.Insert([]byte(keys[i%len(keys)]), v); err != nil {
					b.Fatal(err)
				}
				if _, err := t.WriteDiffBlocks(ctx, f.store.layer()); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// loaded is the tree with all its nodes in memory.
func (f *benchTree) loaded(b *testing.B) *Tree {
	t := OpenRef(f.root, f.blocks.LoadRef)
	if err := t.ready(); err != nil {
		b.Fatal(err)
	}
	var all func(n *node)
	all = func(n *node) {
		for slot := range n.count + 1 {
			k, err := t.child(n, slot, n.linkAt(slot))
			if err != nil {
				b.Fatal(err)
			}
			if k != nil {
				all(k)
			}
		}
	}
	all(t.root)
	return t
}

// BenchmarkInsertWarm inserts one random key after the other into a tree that is kept in memory.
func BenchmarkInsertWarm(b *testing.B) {
	ctx, v, keys := context.Background(), val(2), randomKeys(1<<20, 2)
	eachSize(b, func(b *testing.B, f *benchTree) {
		b.Run("locus", func(b *testing.B) {
			t := f.loaded(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := t.Insert(keys[i], v); err != nil {
					b.Fatal(err)
				}
				if _, err := t.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("indigo-old", func(b *testing.B) {
			t := indigoold.LoadMST(f.store.layer().old(), f.root)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				var err error
				if t, err = t.Add(ctx, keys[i], v, -1); err != nil {
					b.Fatal(err)
				}
				if _, err := t.GetPointer(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("indigo", func(b *testing.B) {
			t, err := indigonew.LoadTreeFromStore(ctx, f.store, f.root)
			if err != nil {
				b.Fatal(err)
			}
			s := f.store.layer()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := t.Insert([]byte(keys[i]), v); err != nil {
					b.Fatal(err)
				}
				if _, err := t.WriteDiffBlocks(ctx, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkBatch does 200 random creates in one commit, and takes them out in the next, on a tree kept in memory
// ("cold": opened anew for each commit of 200 creates).
func BenchmarkBatch(b *testing.B) {
	ctx, v, keys := context.Background(), val(2), randomKeys(200, 2)
	slices.Sort(keys)
	eachSize(b, func(b *testing.B, f *benchTree) {
		b.Run("locus-cold", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t := OpenRef(f.root, f.blocks.LoadRef)
				for _, k := range keys {
					if err := t.Insert(k, v); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := t.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("locus", func(b *testing.B) {
			t := f.loaded(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, k := range keys {
					var err error
					if i%2 == 0 {
						err = t.Insert(k, v)
					} else {
						_, err = t.Delete(k)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				if _, err := t.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("indigo-old", func(b *testing.B) {
			t := indigoold.LoadMST(f.store.layer().old(), f.root)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, k := range keys {
					var err error
					if i%2 == 0 {
						t, err = t.Add(ctx, k, v, -1)
					} else {
						t, err = t.Delete(ctx, k)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				if _, err := t.GetPointer(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("indigo", func(b *testing.B) {
			t, err := indigonew.LoadTreeFromStore(ctx, f.store, f.root)
			if err != nil {
				b.Fatal(err)
			}
			s := f.store.layer()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, k := range keys {
					var err error
					if i%2 == 0 {
						_, err = t.Insert([]byte(k), v)
					} else {
						_, err = t.Remove([]byte(k))
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				if _, err := t.WriteDiffBlocks(ctx, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkBuild makes a tree of sorted keys with all its blocks.
func BenchmarkBuild(b *testing.B) {
	ctx, v := context.Background(), val(1)
	eachSize(b, func(b *testing.B, f *benchTree) {
		b.Run("locus", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if root, err := Build(f.all(), func(Node) {}); err != nil || root != f.root {
					b.Fatal(root, err)
				}
			}
		})
		b.Run("indigo-old", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t := indigoold.NewEmptyMST((&store{}).layer().old())
				for _, k := range f.keys {
					var err error
					if t, err = t.Add(ctx, k, v, -1); err != nil {
						b.Fatal(err)
					}
				}
				if root, err := t.GetPointer(ctx); err != nil || root != f.root {
					b.Fatal(root, err)
				}
			}
		})
		b.Run("indigo", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t := indigonew.NewEmptyTree()
				for _, k := range f.keys {
					if _, err := t.Insert([]byte(k), v); err != nil {
						b.Fatal(err)
					}
				}
				if root, err := t.WriteDiffBlocks(ctx, (&store{}).layer()); err != nil || *root != f.root {
					b.Fatal(root, err)
				}
			}
		})
	})
}

// BenchmarkWalk reads a whole tree with all checks; indigo loads it and runs its Verify.
func BenchmarkWalk(b *testing.B) {
	ctx := context.Background()
	eachSize(b, func(b *testing.B, f *benchTree) {
		b.Run("locus", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s, err := Check(f.root, f.blocks.Load); err != nil || s.Records != len(f.keys) {
					b.Fatal(s, err)
				}
			}
		})
		b.Run("indigo", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t, err := indigonew.LoadTreeFromStore(ctx, f.store, f.root)
				if err == nil {
					err = t.Verify()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
