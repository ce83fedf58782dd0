package repodb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
)

// said is changes in one line each.
func said(changes []Change) (out []string) {
	for _, c := range changes {
		what := "updated"
		switch {
		case !c.CID.Defined():
			what = "deleted"
		case c.Created:
			what = "created"
		}
		out = append(out, fmt.Sprintf("%s %s %q %d", what, c.Path, c.Link, len(c.Value)))
	}
	return out
}

// TestSince: a process that made the writes and one that did not say the same of them, whatever the revision.
func TestSince(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	schema := dbtest.Tenant(t, d)
	here, there := newStore(t, d, keys, Config{}), newStore(t, d, keys, Config{})
	aid, _ := newRepo(t, d, keys, schema)
	first := headRev(t, here, schema, aid)
	revs := []repo.TID{first}
	for _, w := range [][]repo.Write{
		{create("app.bsky.feed.post/a", post("a")), create("some.other.thing/x", post("x"))},
		{create("app.bsky.graph.follow/f", follow("did:plc:someone"))},
		{create("some.other.thing/y", post("y"))},
		{update("app.bsky.feed.post/a", post("bb")), create("app.bsky.feed.post/b", post("b"))},
		{del("app.bsky.feed.post/a"), del("app.bsky.graph.follow/f"), del("some.other.thing/x")},
	} {
		revs = append(revs, mustWrite(t, here, schema, aid, w...).Rev)
	}
	head := revs[len(revs)-1]
	want := [][]string{
		{"created app.bsky.feed.post/a", "created app.bsky.graph.follow/f", "updated app.bsky.feed.post/a", "created app.bsky.feed.post/b", "deleted app.bsky.feed.post/a", "deleted app.bsky.graph.follow/f"},
		{"created app.bsky.graph.follow/f", "updated", "created app.bsky.feed.post/b", "deleted", "deleted"},
		{"updated", "created", "deleted", "deleted"}, {"updated", "created", "deleted", "deleted"}, {"deleted", "deleted"}, nil,
	}
	for i, rev := range slices.Backward(revs) {
		mine, err := here.Since(t.Context(), schema, aid, 0, rev)
		if err != nil {
			t.Fatal(err)
		}
		others, err := there.Since(t.Context(), schema, aid, head, rev)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(said(mine), said(others)) {
			t.Errorf("behind %d: %q here, %q there", i, said(mine), said(others))
		}
		if len(mine) != len(want[i]) {
			t.Fatalf("behind %d: %q", i, said(mine))
		}
		for j, c := range said(mine) {
			if !strings.HasPrefix(c, want[i][j]) {
				t.Errorf("behind %d: %q, not %q", i, c, want[i][j])
			}
		}
	}
	all, _ := here.Since(t.Context(), schema, aid, 0, first)
	if all[1].Link != "did:plc:someone" || string(all[0].Value) != string(post("a")) || all[0].At.IsZero() {
		t.Errorf("%+v", all[:2])
	}

	// What is remembered, and what is up to date, takes no statement.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []*Store{here, there} {
		if got, err := s.Since(gone, schema, aid, head, revs[1]); err != nil || len(got) != 5 {
			t.Errorf("%q, %v", said(got), err)
		}
	}
	fresh := newStore(t, d, keys, Config{})
	if got, err := fresh.Since(gone, schema, aid, head, head); err != nil || got != nil {
		t.Errorf("up to date: %q, %v", said(got), err)
	}
	if _, err := fresh.Since(gone, schema, aid, head, revs[1]); err == nil {
		t.Error("a process that remembers nothing has asked nobody")
	}

	// A write of the other process: the head says so, and then this one knows it as well.
	last := mustWrite(t, there, schema, aid, create("app.bsky.feed.post/c", post("c")))
	if got, err := here.Since(t.Context(), schema, aid, last.Rev, head); err != nil || len(got) != 1 || got[0].Path != "app.bsky.feed.post/c" {
		t.Errorf("%q, %v", said(got), err)
	}
	mustWrite(t, here, schema, aid, create("app.bsky.feed.post/d", post("d")))
	if got, err := here.Since(gone, schema, aid, 0, head); err != nil || len(got) != 2 {
		t.Errorf("%q, %v", said(got), err)
	}
}

// TestSinceBounds: of much only the newest comes, whether it is remembered or read, and an app view that is far behind
// does not cost a statement each time.
func TestSinceBounds(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	schema := dbtest.Tenant(t, d)
	here, there := newStore(t, d, keys, Config{}), newStore(t, d, keys, Config{})
	aid, _ := newRepo(t, d, keys, schema)
	first := headRev(t, here, schema, aid)
	for i := range recentCommits + 10 {
		mustWrite(t, here, schema, aid, create(fmt.Sprintf("app.bsky.feed.post/%03d", i), post("x")))
	}
	head := headRev(t, here, schema, aid)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, s := range map[string]*Store{"here": here, "there": there} {
		got, err := s.Since(t.Context(), schema, aid, head, first)
		if err != nil || len(got) != recentCommits || got[0].Path != "app.bsky.feed.post/010" {
			t.Fatalf("%s: %d changes, %v", name, len(got), err)
		}
		if got, err := s.Since(gone, schema, aid, head, first); err != nil || len(got) != recentCommits {
			t.Errorf("%s, again: %d changes, %v", name, len(got), err)
		}
	}
	// One large commit is more than is remembered: what is left of the account's changes is none.
	var many []repo.Write
	for i := range 100 {
		many = append(many, create(fmt.Sprintf("app.bsky.feed.post/big%d", i), post(strings.Repeat("x", 5000))))
	}
	mustWrite(t, here, schema, aid, many...)
	if got, err := here.Since(gone, schema, aid, 0, head); err != nil || len(got) != 0 {
		t.Errorf("%d changes, %v", len(got), err)
	}
	// What is before a sync is another repository's.
	if got, err := there.Since(t.Context(), schema, aid, headRev(t, there, schema, aid), 0); err != nil || len(got) != 0 {
		t.Errorf("%d changes, %v", len(got), err)
	}
}

func headRev(t *testing.T, s *Store, schema db.Schema, aid int64) repo.TID {
	t.Helper()
	st, err := s.Head(t.Context(), schema, aid)
	if err != nil {
		t.Fatal(err)
	}
	return st.Head.Rev
}

// TestSinceNew: what a new account has written is new to everybody, its first commit says nothing.
func TestSinceNew(t *testing.T) {
	d, keys := dbtest.New(t), newKeys(t)
	schema := dbtest.Tenant(t, d)
	s := newStore(t, d, keys, Config{})
	aid, _ := newRepo(t, d, keys, schema)
	head := headRev(t, s, schema, aid)
	if got, err := s.Since(t.Context(), schema, aid, head, 0); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", said(got), err)
	}
	res := mustWrite(t, s, schema, aid, create("app.bsky.feed.post/a", post("a")))
	if got, err := s.Since(t.Context(), schema, aid, res.Rev, 0); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", said(got), err)
	}
}
