package firehose_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/auroralocus/locus/internal/firehose"
)

func TestFilter(t *testing.T) {
	for _, bad := range []struct{ collections, dids []string }{
		{collections: []string{"post"}},
		{collections: []string{"*"}},
		{collections: []string{".*"}},
		{collections: []string{"app.bsky.feed.po*"}},
		{collections: []string{"app..bsky.*"}},
		{collections: slices.Repeat([]string{"app.bsky.feed.post"}, 101)},
		{dids: []string{"alice.test"}},
		{dids: slices.Repeat([]string{did}, 10_001)},
	} {
		if _, err := firehose.NewFilter(bad.collections, bad.dids, 0); !errors.Is(err, firehose.ErrFilter) {
			t.Errorf("%.60v: %v", bad, err)
		}
	}
	f, err := firehose.NewFilter([]string{"app.bsky.feed.post", "app.bsky.graph.*", "com.example.*"}, []string{did}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for collection, want := range map[string]bool{
		"": true, "app.bsky.feed.post": true, "app.bsky.feed.posts": false, "app.bsky.feed.like": false,
		"app.bsky.graph.follow": true, "app.bsky.graphs.follow": false, "com.example.thing": true, "com.example.a.b": true,
	} {
		if got := f.Wants(&firehose.Message{Collection: collection}); got != want {
			t.Errorf("%q: %v", collection, got)
		}
	}
	if !f.WantsDID(did) || f.WantsDID("did:plc:other") {
		t.Error("wrong accounts")
	}
	if all, err := firehose.NewFilter(nil, nil, -1); err != nil || !all.WantsDID("x") || !all.Wants(&firehose.Message{Collection: "a.b.c"}) {
		t.Error("no filter wants everything:", err)
	}
}
