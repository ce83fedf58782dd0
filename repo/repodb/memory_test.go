package repodb

import (
	"fmt"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// A tenant that writes to very many repositories pushes out what is remembered of its own, not of others'.
func TestWritersPushOutTheirOwn(t *testing.T) {
	const each = 6 // what is remembered of a small repository, at most 4 KB
	s, quiet := testStore(t, Config{CacheBytes: 4 * each * 4 << 10})
	flood := dbtest.Tenant(t, s.db)
	var mine []repoKey
	for i := range each {
		aid, _ := newRepo(t, s.db, s.keys, quiet)
		path := fmt.Sprintf("app.bsky.feed.post/3k%011d", i)
		mustWrite(t, s, quiet, aid, create(path, post(path)))
		mine = append(mine, repoKey{quiet, aid})
	}
	for range 20 * each {
		aid, _ := newRepo(t, s.db, s.keys, flood)
		mustWrite(t, s, flood, aid, create("app.bsky.feed.post/3kaaaaaaaaaaa", post("x")))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.repos.Len(); n >= 21*each || s.repos.Bytes() > int64(s.cfg.CacheBytes) {
		t.Errorf("%d repositories are remembered, %d bytes", n, s.repos.Bytes())
	}
	for _, key := range mine {
		if _, ok := s.repos.Get(key); !ok {
			t.Errorf("another tenant's repository %d is forgotten", key.aid)
		}
	}
}
