package repodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/mst"
)

// checkAll fails the test unless everything in the tenant is well.
func checkAll(t testing.TB, s *Store, schema db.Schema) {
	t.Helper()
	err := s.CheckTenant(t.Context(), schema, func(r Report) error {
		if !r.OK() {
			t.Errorf("actor %d: %q", r.AID, r.Problems)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRoundTrips counts them: a write by a process that remembers the account costs one, whatever the size of the
// repository; by one that knows nothing, three: the head, the paths, the commit.
func TestRoundTrips(t *testing.T) {
	dbtest.Plain(t, "round trips are counted at a proxy before one server")
	url := dbtest.URL(t)
	p := dbtest.NewProxy(t, url)
	d := dbtest.Open(t, p.URL())
	keys := newKeys(t)
	warm := newStore(t, d, keys, Config{})
	schema := dbtest.Tenant(t, d)
	aid, _ := newRepo(t, d, keys, schema)
	trips := func(f func()) int64 {
		before := p.Trips()
		f()
		return p.Trips() - before
	}
	n := 0
	next := func(s *Store) func() {
		return func() {
			n++
			path := fmt.Sprintf("app.bsky.feed.post/3k%011d", n)
			mustWrite(t, s, schema, aid, create(path, post(path)))
		}
	}
	for range 100 { // also lets every connection prepare its statements
		next(warm)()
	}
	for range 20 {
		var batch []repo.Write
		for range 100 {
			n++
			batch = append(batch, create(fmt.Sprintf("app.bsky.feed.post/3k%011d", n), post("x")))
		}
		mustWrite(t, warm, schema, aid, batch...)
	}
	for range 3 {
		next(warm)()
	}
	for range 50 {
		if got := trips(next(warm)); got != 1 {
			t.Errorf("warm append: %d round trips", got)
		}
	}
	cold := newStore(t, d, keys, Config{})
	for range 20 {
		if err := cold.Forget(t.Context(), schema, aid); err != nil {
			t.Fatal(err)
		}
		next(cold)() // prepares
	}
	for range 20 {
		if err := cold.Forget(t.Context(), schema, aid); err != nil {
			t.Fatal(err)
		}
		if got := trips(next(cold)); got > 3 {
			t.Errorf("cold append: %d round trips", got)
		}
	}
	read := trips(func() {
		if _, _, err := warm.GetRecord(t.Context(), schema, "user1.test", "app.bsky.feed.post/3k00000000001"); err != nil && !errors.Is(err, ErrRecordNotFound) {
			t.Error(err)
		}
	})
	if read > 2 { // one of them may prepare
		t.Errorf("getRecord: %d round trips", read)
	}
	checkAll(t, warm, schema)
}

// TestTwoProcessesOnOneRepository races two stores for the same repositories: every write goes through once, and no
// number is lost.
func TestTwoProcessesOnOneRepository(t *testing.T) {
	url := dbtest.URL(t)
	keys := newKeys(t)
	a, b := dbtest.Open(t, url), dbtest.Open(t, url)
	schema := dbtest.Tenant(t, a)
	stores := []*Store{newStore(t, a, keys, Config{}), newStore(t, b, keys, Config{})}
	var aids []int64
	for range 3 {
		aid, _ := newRepo(t, a, keys, schema)
		aids = append(aids, aid)
	}
	var wg sync.WaitGroup
	const each = 25
	for i, s := range stores {
		for _, aid := range aids {
			for g := range 2 {
				wg.Go(func() {
					for n := range each {
						path := fmt.Sprintf("com.example.a/%d-%d-%d", i, g, n)
						res, err := s.Write(t.Context(), schema, aid, Options{}, writes(create(path, post(path))))
						if err != nil || !res.Changed || res.Seq == 0 {
							t.Errorf("%s: %+v %v", path, res, err)
						}
					}
				})
			}
		}
	}
	wg.Wait()
	checkAll(t, stores[0], schema)
	for _, aid := range aids {
		if r, err := stores[0].Check(t.Context(), schema, aid); err != nil || r.Records != 4*each || r.Events != 4*each+4 {
			t.Errorf("%+v %v", r, err)
		}
	}
}

// TestSwapCommitOfTwoProcesses: of writes that name the same commit exactly one goes through.
func TestSwapCommitOfTwoProcesses(t *testing.T) {
	url := dbtest.URL(t)
	keys := newKeys(t)
	a, b := dbtest.Open(t, url), dbtest.Open(t, url)
	schema := dbtest.Tenant(t, a)
	stores := []*Store{newStore(t, a, keys, Config{}), newStore(t, b, keys, Config{})}
	aid, _ := newRepo(t, a, keys, schema)
	for round := range 10 {
		head, err := stores[0].Head(t.Context(), schema, aid)
		if err != nil {
			t.Fatal(err)
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				path := fmt.Sprintf("com.example.a/%d-%d", round, i)
				_, err := stores[i%2].Write(t.Context(), schema, aid, Options{SwapCommit: &head.Head.CID}, writes(create(path, post(path))))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrSwapCommit) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
	}
	checkAll(t, stores[0], schema)
}

// TestBadMember: rows that Postgres refuses fail their own commit, not the group's others.
func TestBadMember(t *testing.T) {
	s, schema := testStore(t, Config{})
	var group []*pending
	for range 5 {
		aid, _ := newRepo(t, s.db, s.keys, schema)
		st, err := s.acquire(t.Context(), repoKey{schema, aid})
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.loadHead(t.Context(), st.key)
		if err != nil {
			t.Fatal(err)
		}
		st.know(h)
		p, err := s.build(t.Context(), st, Options{}, writes(create("com.example.a/b", post("x"))))
		if err != nil {
			t.Fatal(err)
		}
		s.release(st)
		p.whose = t.Context()
		group = append(group, p)
	}
	bad := group[2]
	bad.commit.Diff.New = append([]mst.Node{{CID: bad.commit.Head.CID, After: "a\x00b"}}, bad.commit.Diff.New...)
	s.commitGroup(s.db.Tenant(schema), append([]*pending(nil), group...))
	for i, p := range group {
		o := <-p.done
		if (o.err != nil) != (p == bad) || (o.seq > 0) == (p == bad) {
			t.Errorf("member %d: %+v", i, o)
		}
	}
	checkAll(t, s, schema)
}

// TestInactiveAccounts: status is found out however well the repository is remembered.
func TestInactiveAccounts(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	keys := newKeys(t)
	s, schema := newStore(t, d, keys, Config{}), dbtest.Tenant(t, d)
	aid, _ := newRepo(t, d, keys, schema)
	mustWrite(t, s, schema, aid, create("com.example.a/1", post("1")))
	for set, want := range map[string]error{
		"deactivated_at = now()":                     ErrRepoDeactivated,
		"takedown_ref = 'x'":                         ErrRepoTakendown,
		"takedown_ref = 'x', deactivated_at = now()": ErrRepoTakendown,
		"creating_since = now()":                     ErrRepoNotFound,
	} {
		execSQL(t, url, "UPDATE "+schema.String()+".actor SET "+set+" WHERE aid = $1", aid)
		for _, w := range [][]repo.Write{{create("com.example.a/2", post("2"))}, {del("com.example.a/none")}, nil} {
			if _, err := s.Write(t.Context(), schema, aid, Options{}, writes(w...)); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", set, err, want)
			}
		}
		execSQL(t, url, "UPDATE "+schema.String()+".actor SET deactivated_at = NULL, takedown_ref = NULL, creating_since = NULL WHERE aid = $1", aid)
		mustWrite(t, s, schema, aid, create("com.example.a/2", post("2")))
		mustWrite(t, s, schema, aid, del("com.example.a/2"))
	}
	if _, err := s.Write(t.Context(), schema, 999, Options{}, writes(del("com.example.a/none"))); !errors.Is(err, ErrRepoNotFound) {
		t.Error("no account:", err)
	}
	checkAll(t, s, schema)
}

// TestServerKilled kills Postgres under load, several times: what was acknowledged is there, what was refused is not,
// and writing goes on.
func TestServerKilled(t *testing.T) {
	dbtest.Plain(t, "it kills a server of its own")
	server := dbtest.Durable(t)
	d := dbtest.Open(t, server.URL())
	if err := d.MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := newKeys(t)
	s, schema := newStore(t, d, keys, Config{}), dbtest.Tenant(t, d)
	var aids []int64
	for range 4 {
		aid, _ := newRepo(t, d, keys, schema)
		aids = append(aids, aid)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type fate struct {
		aid  int64
		path string
		err  error
	}
	var mu sync.Mutex
	var fates []fate
	var wg sync.WaitGroup
	for _, aid := range aids {
		for g := range 2 {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					path := fmt.Sprintf("com.example.a/%d-%d", g, n)
					_, err := s.Write(ctx, schema, aid, Options{}, writes(create(path, post(path))))
					mu.Lock()
					fates = append(fates, fate{aid, path, err})
					mu.Unlock()
					if err != nil {
						time.Sleep(10 * time.Millisecond)
					}
				}
			})
		}
	}
	for range 3 {
		time.Sleep(time.Duration(200+rand.IntN(200)) * time.Millisecond)
		server.Kill()
		time.Sleep(50 * time.Millisecond)
		server.Start()
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	wg.Wait()
	checkAll(t, s, schema)
	counts := map[string]int{}
	for _, f := range fates {
		_, _, err := s.GetRecord(t.Context(), schema, fmt.Sprintf("did:plc:%024d", f.aid), f.path)
		there := err == nil
		switch {
		case f.err == nil:
			counts["acknowledged"]++
			if !there {
				t.Errorf("acknowledged and lost: %d %s", f.aid, f.path)
			}
		case errors.Is(f.err, db.ErrUnknownOutcome):
			counts["unknown"]++
		case db.IsUnavailable(f.err), errors.Is(f.err, context.Canceled):
			counts["refused"]++
			if there {
				t.Errorf("refused and there: %d %s: %v", f.aid, f.path, f.err)
			}
		default:
			t.Errorf("%s: %v", f.path, f.err)
		}
	}
	t.Log(counts)
	mustWrite(t, s, schema, aids[0], create("com.example.a/last", post("x")))
}
