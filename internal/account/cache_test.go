package account

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache/cachetest"
)

// TestCacheIsBounded: accounts take no more memory than they may, and one tenant's push out none of another's.
func TestCacheIsBounded(t *testing.T) {
	const bound = 2 << 20
	c := NewCache(nil, bound, time.Now)
	quiet, err := db.ParseSchema("t_2")
	if err != nil {
		t.Fatal(err)
	}
	loud, err := db.ParseSchema("t_1")
	if err != nil {
		t.Fatal(err)
	}
	keep := func(s db.Schema, i int) cacheKey {
		did := "did:web:" + strings.Repeat("a", i%1500) + fmt.Sprint(i)
		key := cacheKey{s, strings.Clone(did)}
		c.put(&cached{key, Actor{AID: int64(i), DID: did, Handle: fmt.Sprintf("h%d.example.com", i)}, c.now()}, 0)
		return key
	}
	key := keep(quiet, 1)
	before := cachetest.LiveHeap()
	for i := range 20_000 {
		keep(loud, i)
	}
	if grown := cachetest.LiveHeap() - before; grown > bound+bound/4 || grown < bound/2 {
		t.Errorf("the heap grew by %d KiB, bound %d KiB", grown>>10, bound>>10)
	}
	if _, _, ok := c.get(key, time.Hour); !ok {
		t.Error("another tenant's account was pushed out")
	}
	runtime.KeepAlive(c)
}
