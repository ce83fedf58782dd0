package repodb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// fill writes n posts and some of other collections in a few commits.
func fill(t testing.TB, s *Store, key repoKey, n int) (paths []string) {
	t.Helper()
	for i := range n {
		paths = append(paths, fmt.Sprintf("app.bsky.feed.post/3k%011d", i*7919%n))
	}
	paths = append(paths, "app.bsky.feed/x", "app.bsky.feed.post.sub/x", "app.bsky.feed.post0/x", "app.bsky.actor.profile/self", "com.example.a/Z", "com.example.a/a", "com.example.a/_")
	for list := range slices.Chunk(paths, 200) {
		var w []repo.Write
		for _, p := range list {
			text := p
			if len(p)%3 == 0 || strings.HasSuffix(p, "7") {
				text = "the same" // some records share a CID
			}
			w = append(w, create(p, post(text)))
		}
		mustWrite(t, s, key.schema, key.aid, w...)
	}
	slices.Sort(paths)
	return paths
}

func TestLists(t *testing.T) {
	s, schema := testStore(t, Config{})
	aid, did := newRepo(t, s.db, s.keys, schema)
	ctx := t.Context()
	if list, err := s.Collections(ctx, schema, aid); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	paths := fill(t, s, repoKey{schema, aid}, 300)
	for _, a := range paths {
		c, _, _ := strings.Cut(a, "/")
		if _, r, err := s.GetRecord(ctx, schema, did, a); err != nil || r.CID != dagcbor.CID(r.Value) {
			t.Errorf("%s of %s: %v", a, c, err)
		}
	}
	var want []string
	for _, p := range paths {
		c, _, _ := strings.Cut(p, "/")
		if !slices.Contains(want, c) {
			want = append(want, c)
		}
	}
	got, err := s.Collections(ctx, schema, aid)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, collection := range append(want, "app.bsky", "app.bsky.feed.pos", "zzz.example.a") {
		for _, reverse := range []bool{false, true} {
			var want, got []string
			for _, p := range paths {
				if strings.HasPrefix(p, collection+"/") {
					want = append(want, p)
				}
			}
			if !reverse {
				slices.Reverse(want)
			}
			for after := ""; ; {
				page, err := s.ListRecords(ctx, schema, aid, collection, after, 7, 1<<20, reverse)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				for _, r := range page {
					got = append(got, r.Path)
					_, after, _ = strings.Cut(r.Path, "/")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s reverse %v: %s", collection, reverse, diff)
			}
		}
	}
}

func TestTakenDownRecord(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s, schema := newStore(t, d, newKeys(t), Config{}), dbtest.Tenant(t, d)
	aid, did := newRepo(t, d, s.keys, schema)
	mustWrite(t, s, schema, aid, create("com.example.a/1", post("1")), create("com.example.a/2", post("2")))
	execSQL(t, url, "UPDATE "+schema.String()+".record SET takedown_ref = 'x' WHERE path = 'com.example.a/1'")
	for range 2 {
		list, err := s.ListRecords(t.Context(), schema, aid, "com.example.a", "", 10, 1<<20, false)
		if err != nil || len(list) != 1 || list[0].Path != "com.example.a/2" {
			t.Error(list, err)
		}
		if _, r, err := s.GetRecord(t.Context(), schema, did, "com.example.a/1"); err != nil || !r.Takendown {
			t.Error(r, err)
		}
		mustWrite(t, s, schema, aid, update("com.example.a/1", post("again"))) // does not lift it
	}
	checkAll(t, s, schema)
}

// TestExport compares exports of several sizes with the tree's own walk: the same blocks in pre-order.
func TestExport(t *testing.T) {
	s, schema := testStore(t, Config{})
	for _, n := range []int{0, 1, 30, 1000} {
		aid, did := newRepo(t, s.db, s.keys, schema)
		var paths []string
		if n > 0 {
			paths = fill(t, s, repoKey{schema, aid}, n)
		}
		var out bytes.Buffer
		if err := s.Export(t.Context(), nil, schema, aid, 0, &out); err != nil {
			t.Fatal(err)
		}
		a, err := repo.Verify(bytes.NewReader(out.Bytes()), did, nil, repo.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !a.Streamed || a.Count != len(paths) {
			t.Errorf("%d records: %d, streamed %v", len(paths), a.Count, a.Streamed)
		}
		blocks, order := readAll(t, out.Bytes())
		want := []string{a.CID.String()}
		load := func(c cid.Cid) ([]byte, error) { return blocks[c], nil }
		err = mst.Visit(a.Commit.Data, load, func(n mst.Node) error {
			want = append(want, n.CID.String())
			return nil
		}, func(_ string, c cid.Cid) error {
			want = append(want, c.String())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Error(diff)
		}
	}
}

func readAll(t testing.TB, archive []byte) (blocks map[cid.Cid][]byte, order []string) {
	t.Helper()
	r, err := car.NewReader(bytes.NewReader(archive), car.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	blocks = map[cid.Cid][]byte{}
	for {
		c, data, err := r.Next()
		if err == io.EOF {
			return blocks, order
		}
		if err != nil {
			t.Fatal(err)
		}
		blocks[c] = bytes.Clone(data)
		order = append(order, c.String())
	}
}

// TestExportSince: what was there before plus the difference is the whole.
func TestExportSince(t *testing.T) {
	s, schema := testStore(t, Config{})
	aid, did := newRepo(t, s.db, s.keys, schema)
	fill(t, s, repoKey{schema, aid}, 500)
	before, err := s.Head(t.Context(), schema, aid)
	if err != nil {
		t.Fatal(err)
	}
	var old, diff, none bytes.Buffer
	if err := s.Export(t.Context(), nil, schema, aid, 0, &old); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustWrite(t, s, schema, aid, create(fmt.Sprintf("com.example.b/%d", i), post("b")), del(fmt.Sprintf("app.bsky.feed.post/3k%011d", i*9)))
	}
	if err := s.Export(t.Context(), nil, schema, aid, before.Head.Rev, &diff); err != nil {
		t.Fatal(err)
	}
	after, err := s.Head(t.Context(), schema, aid)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Export(t.Context(), nil, schema, aid, after.Head.Rev+1<<20, &none); err != nil {
		t.Fatal(err)
	}
	if _, order := readAll(t, none.Bytes()); len(order) != 1 {
		t.Errorf("%d blocks since the future", len(order))
	}
	if diff.Len() > old.Len()/2 {
		t.Errorf("difference of %d bytes, whole of %d", diff.Len(), old.Len())
	}
	oldBlocks, _ := readAll(t, old.Bytes())
	newBlocks, _ := readAll(t, diff.Bytes())
	merged := car.AppendHeader(nil, after.Head.CID)
	for _, blocks := range []map[cid.Cid][]byte{oldBlocks, newBlocks} {
		for c, b := range blocks {
			merged = car.AppendSection(merged, c, b)
		}
	}
	a, err := repo.Verify(bytes.NewReader(merged), did, nil, repo.VerifyOptions{})
	if err != nil || a.Count != 500+7 {
		t.Errorf("%+v %v", a, err)
	}
}

// TestProof: an archive of a few blocks proves what stands at a path, to a reader that has nothing else.
func TestProof(t *testing.T) {
	s, schema := testStore(t, Config{})
	for _, n := range []int{0, 1, 1000} {
		aid, _ := newRepo(t, s.db, s.keys, schema)
		is := map[string]bool{}
		if n > 0 {
			for _, p := range fill(t, s, repoKey{schema, aid}, n) {
				is[p] = true
			}
		}
		for i := range 60 {
			path := fmt.Sprintf("app.bsky.feed.post/3k%011d", i*30)
			var out bytes.Buffer
			a, err := s.Proof(t.Context(), schema, aid, path)
			if err == nil {
				err = a.Write(&out)
			}
			if err != nil {
				t.Fatal(err)
			}
			root, blocks, err := readBlocks(out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			c, err := repo.DecodeCommit(blocks[root.KeyString()])
			if err != nil {
				t.Fatal(err)
			}
			nodes, val, err := mst.Path(c.Data, blocks.load, path)
			if err != nil || val.Defined() != is[path] {
				t.Errorf("%s: %s %v", path, val, err)
			}
			want := 1 + len(nodes)
			if is[path] {
				want++
				if blocks[val.KeyString()] == nil {
					t.Errorf("%s: no record", path)
				}
			}
			if len(blocks) != want {
				t.Errorf("%s: %d blocks, need %d", path, len(blocks), want)
			}
		}
	}
	if _, err := s.Proof(t.Context(), schema, 99, "com.example.a/1"); !errors.Is(err, ErrRepoNotFound) {
		t.Error(err)
	}
}

func TestBlocks(t *testing.T) {
	s, schema := testStore(t, Config{})
	aid, _ := newRepo(t, s.db, s.keys, schema)
	other, _ := newRepo(t, s.db, s.keys, schema)
	fill(t, s, repoKey{schema, aid}, 100)
	var out bytes.Buffer
	if err := s.Export(t.Context(), nil, schema, aid, 0, &out); err != nil {
		t.Fatal(err)
	}
	all, _ := readAll(t, out.Bytes())
	var cids []cid.Cid
	for c := range all {
		cids = append(cids, c, c)
	}
	out.Reset()
	a, err := s.Blocks(t.Context(), schema, aid, cids)
	if err == nil {
		err = a.Write(&out)
	}
	if err != nil || a.Size() < int64(out.Len())-100 {
		t.Fatal(err, a.Size(), out.Len())
	}
	got, order := readAll(t, out.Bytes())
	if len(order) != len(all) || len(got) != len(all) {
		t.Errorf("%d blocks, want %d", len(order), len(all))
	}
	for c, b := range all {
		if !bytes.Equal(got[c], b) {
			t.Errorf("%s is another", c)
		}
	}
	_, err = s.Blocks(t.Context(), schema, other, cids[:2])
	var lost *MissingBlocks
	if !errors.As(err, &lost) || !errors.Is(err, ErrBlocksNotFound) || len(lost.CIDs) != 2 {
		t.Errorf("another account's blocks: %v", err)
	}
}

// TestPagesEndByBytes: large records make short pages and small archives, and nothing is left out by them.
func TestPagesEndByBytes(t *testing.T) {
	s, schema := testStore(t, Config{})
	aid, _ := newRepo(t, s.db, s.keys, schema)
	var cids []cid.Cid
	for i := range 10 {
		w := create(fmt.Sprintf("com.example.a/%d", i), post(strings.Repeat(strconv.Itoa(i), 900_000)))
		mustWrite(t, s, schema, aid, w)
		cids = append(cids, dagcbor.CID(w.Record))
	}
	for _, reverse := range []bool{false, true} {
		var got []string
		pages, after := 0, ""
		for {
			page, err := s.ListRecords(t.Context(), schema, aid, "com.example.a", after, 100, 2_000_000, reverse)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > 3 {
				t.Errorf("a page of %d records", len(page))
			}
			pages++
			for _, r := range page {
				got = append(got, r.Path)
				_, after, _ = strings.Cut(r.Path, "/")
			}
		}
		if len(got) != 10 || pages != 4 || slices.IsSorted(got) != reverse {
			t.Errorf("%d pages, %v", pages, got)
		}
	}
	if page, err := s.ListRecords(t.Context(), schema, aid, "com.example.a", "", 100, 1, true); err != nil || len(page) != 1 {
		t.Errorf("a page has at least one record: %d, %v", len(page), err)
	}
	if a, err := s.Blocks(t.Context(), schema, aid, cids[:3]); err != nil || a.Size() < 2_700_000 {
		t.Error(err)
	}
	if _, err := s.Blocks(t.Context(), schema, aid, cids); !errors.Is(err, ErrBlocksTooLarge) {
		t.Errorf("%d blocks: %v", len(cids), err)
	}
}

func TestListRepos(t *testing.T) {
	s, schema := testStore(t, Config{})
	var want []int64
	for range 5 {
		aid, _ := newRepo(t, s.db, s.keys, schema)
		want = append(want, aid)
	}
	var got []int64
	for after := int64(0); ; {
		page, err := s.ListRepos(t.Context(), schema, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, st := range page {
			got, after = append(got, st.AID), st.AID
			if h, err := s.Head(t.Context(), schema, after); err != nil || h.Head.CID != st.Head.CID || h.Head.Rev != st.Head.Rev {
				t.Errorf("%+v %+v %v", st, h, err)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
