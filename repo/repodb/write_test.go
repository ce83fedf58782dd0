package repodb

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
)

func TestWriteAndRead(t *testing.T) {
	s, schema := testStore(t, Config{})
	writeAndRead(t, s, schema)
}

// The same, and what the room does beside it, on connections that PgBouncer lends for a transaction at a time.
func TestThroughPgBouncer(t *testing.T) {
	ways := []int{0}
	if keeps, version := dbtest.BouncerKeeps(t); keeps {
		ways = append(ways, 100)
	} else {
		t.Logf("%s cannot keep prepared statements: that way is not tested with it", version)
	}
	for _, prepared := range ways {
		t.Run(fmt.Sprint("keeps ", prepared), func(t *testing.T) {
			d := dbtest.Open(t, dbtest.NewBouncer(t, dbtest.URL(t), prepared).URL)
			s, schema := newStore(t, d, newKeys(t), Config{}), dbtest.Tenant(t, d)
			writeAndRead(t, s, schema)
			var wg sync.WaitGroup
			for range 4 {
				aid, _ := newRepo(t, d, s.keys, schema)
				wg.Go(func() { fill(t, s, repoKey{schema, aid}, 50) })
			}
			wg.Wait()
			err := s.CheckTenant(t.Context(), schema, func(r Report) error {
				if !r.OK() {
					t.Errorf("%+v", r)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func writeAndRead(t *testing.T, s *Store, schema db.Schema) {
	t.Helper()
	aid, did := newRepo(t, s.db, s.keys, schema)
	ctx := t.Context()
	for i := range 40 {
		path := fmt.Sprintf("app.bsky.feed.post/3k%011d", i)
		res := mustWrite(t, s, schema, aid, create(path, post(path)))
		if !res.Changed || res.Seq != int64(5+i) || len(res.Ops) != 1 {
			t.Fatalf("write %d: %+v", i, res)
		}
		a, r, err := s.GetRecord(ctx, schema, did, path)
		if err != nil || a.AID != aid || !bytes.Equal(r.Value, post(path)) || r.CID != res.Ops[0].CID {
			t.Fatalf("read %s: %+v %+v %v", path, a, r, err)
		}
	}
	if _, _, err := s.GetRecord(ctx, schema, "user1.test", "app.bsky.feed.post/none"); !errors.Is(err, ErrRecordNotFound) {
		t.Error("missing record:", err)
	}
	if _, _, err := s.GetRecord(ctx, schema, "nobody.test", "app.bsky.feed.post/none"); !errors.Is(err, ErrRepoNotFound) {
		t.Error("missing account:", err)
	}
	head, err := s.Head(ctx, schema, aid)
	if err != nil {
		t.Fatal(err)
	}
	wrong := head.Head.Data
	_, err = s.Write(ctx, schema, aid, Options{SwapCommit: &wrong}, writes(create("app.bsky.feed.post/x", post("x"))))
	if !errors.Is(err, ErrSwapCommit) {
		t.Error("swap:", err)
	}
	if _, err = s.Write(ctx, schema, aid, Options{SwapCommit: &head.Head.CID}, writes(create("app.bsky.feed.post/x", post("x")))); err != nil {
		t.Error("swap:", err)
	}
	_, err = s.Write(ctx, schema, aid, Options{}, writes(create("app.bsky.feed.post/x", post("x"))))
	if !errors.Is(err, repo.ErrRecordExists) {
		t.Error("exists:", err)
	}
	var out bytes.Buffer
	if err := s.Export(ctx, nil, schema, aid, 0, &out); err != nil {
		t.Fatal(err)
	}
	t.Log("export", out.Len())
	a, err := repo.Verify(bytes.NewReader(out.Bytes()), did, nil, repo.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", a)
}
