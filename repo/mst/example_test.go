package mst_test

import (
	"fmt"
	"log"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// empty loads the tree without entries.
func empty(c cid.Cid) ([]byte, error) {
	if c == mst.EmptyRoot {
		return mst.EmptyBlock(), nil
	}
	return nil, mst.ErrNotFound
}

// The tree follows from its keys and values alone: in whatever order they come, the root is the same.
func ExampleTree() {
	value := dagcbor.CID([]byte{0xa0})
	keys := []string{"com.example.record/a", "com.example.record/b", "com.example.record/c"}

	one := mst.Open(mst.EmptyRoot, empty)
	for _, k := range keys {
		if err := one.Insert(k, value); err != nil {
			log.Fatal(err)
		}
	}
	diff, err := one.Commit()
	if err != nil {
		log.Fatal(err)
	}

	other := mst.Open(mst.EmptyRoot, empty)
	slices.Reverse(keys)
	for _, k := range keys {
		if err := other.Insert(k, value); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := other.Commit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(diff.New) > 0, one.Root() == other.Root())
	_, err = one.Delete("com.example.record/d")
	fmt.Println(err)
	// Output:
	// true true
	// mst: no such key
}

// Build makes a tree of sorted keys in one pass, and Changes compares two trees without reading what is equal.
func ExampleBuild() {
	keys := map[string]cid.Cid{
		"com.example.record/a": dagcbor.CID([]byte{0x01}),
		"com.example.record/b": dagcbor.CID([]byte{0x02}),
	}
	nodes := mst.Blocks{}
	build := func() cid.Cid {
		root, err := mst.Build(func(yield func(string, cid.Cid) bool) {
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				if !yield(k, keys[k]) {
					return
				}
			}
		}, nodes.Add)
		if err != nil {
			log.Fatal(err)
		}
		return root
	}
	before := build()
	keys["com.example.record/b"] = dagcbor.CID([]byte{0x03})
	delete(keys, "com.example.record/a")
	after := build()

	changes, err := mst.Changes(before, after, nodes.Load)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range changes {
		fmt.Println(c.Key, c.Old.Defined(), c.New.Defined())
	}
	// Output:
	// com.example.record/a true false
	// com.example.record/b true true
}

func ExampleKeyLevel() {
	fmt.Println(mst.KeyLevel("blue"), mst.KeyLevel("app.bsky.feed.post/9adeb165882c"))
	// Output: 1 8
}
