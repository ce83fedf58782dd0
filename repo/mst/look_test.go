package mst

import (
	"fmt"
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// TestLookBetweenEdits: a look at the tree between edits forgets nothing of them, also when a key above the root
// replaced no node.
func TestLookBetweenEdits(t *testing.T) {
	val := dagcbor.CID([]byte{0xa0})
	keyOf := func(level int, after string) string {
		for i := 0; ; i++ {
			if k := fmt.Sprintf("com.example.a/%s%d", after, i); KeyLevel(k) == level {
				return k
			}
		}
	}
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		tree := Open(EmptyRoot, nil)
		if err := tree.Insert(keyOf(0, order[0]), val); err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Commit(); err != nil {
			t.Fatal(err)
		}
		want := tree.Clone(nil)
		got := tree.Clone(nil)
		high := keyOf(2, order[1])
		if err := want.Insert(high, val); err != nil {
			t.Fatal(err)
		}
		if err := got.Insert(high, val); err != nil {
			t.Fatal(err)
		}
		if _, found, err := got.Get(keyOf(0, "z")); found || err != nil {
			t.Fatalf("look: %v %v", found, err)
		}
		a, err := want.Commit()
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.Commit()
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Proof) == 0 || len(a.Proof) != len(b.Proof) || len(a.New) != len(b.New) || a.Root != b.Root {
			t.Errorf("with a look: %d new, %d proof nodes; without: %d, %d", len(b.New), len(b.Proof), len(a.New), len(a.Proof))
		}
	}
}
