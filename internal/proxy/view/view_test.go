package view

import (
	"testing"

	"github.com/auroralocus/locus/internal/splice"
)

// TestFits: what the lexicon requires must be there and be of its kind; what it does not name may be anything.
func TestFits(t *testing.T) {
	const post = `"uri":"x","cid":"x","author":{"did":"x","handle":"x"},"record":7,"indexedAt":"x"`
	for text, want := range map[string]bool{
		`{` + post + `}`:                                                     true,
		`{"new":1,` + post + `,"newer":[{}]}`:                                true,
		`{` + post + `,"likeCount":1}`:                                       true,
		`{` + post + `,"likeCount":null}`:                                    true, // as good as nothing
		`{` + post + `,"likeCount":"1"}`:                                     false,
		`{` + post + `,"viewer":{"like":1}}`:                                 false,
		`{` + post + `,"labels":{}}`:                                         false,
		`{` + post + `,"embed":{"$type":"no.such.embed"}}`:                   true, // unions are open
		`{` + post + `,"embed":{"images":[]}}`:                               false,
		`{` + post + `,"uri":null}`:                                          true, // the first one is one
		`{"uri":"x","cid":"x","author":{"did":"x","handle":"x"},"record":7}`: false,
		`{"uri":null,"cid":"x","author":{"did":"x","handle":"x"},"record":7,"indexedAt":"x"}`:        false,
		`{"indexedAt":"x","record":null,"author":{"handle":"x","did":"x"},"cid":"x","\u0075ri":"x"}`: true,
		`{"uri":"x","cid":"x","author":{"did":"x"},"record":7,"indexedAt":"x"}`:                      false,
		`[]`: false, `7`: false,
	} {
		d, err := splice.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := (FeedPostView{d.Root()}).Fits(); got != want {
			t.Errorf("%s: %v", text, got)
		}
		d.Close()
	}
	if (FeedPostView{}).Fits() {
		t.Error("nothing fits")
	}
}

// TestVariants: a union's value is what its $type says, and a list has its views in order.
func TestVariants(t *testing.T) {
	d, err := splice.Parse([]byte(`{"feed":[{"post":{"uri":"1"},"reason":{"$type":"app.bsky.feed.defs#reasonPin"}},{"post":{"uri":"2"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	feed := FeedGetTimeline{d.Root()}.Feed()
	first := feed.First()
	if _, ok := AsFeedReasonPin(first.Reason()); !ok || first.Post().URI() != "1" {
		t.Errorf("%s", first.Raw())
	}
	if _, ok := AsFeedReasonRepost(first.Reason()); ok {
		t.Error("a pin passes for a repost")
	}
	uris := ""
	for item := range feed.Views {
		uris += item.Post().URI()
	}
	if uris != "12" {
		t.Errorf("%q", uris)
	}
	v := NewFeedNotFoundPost{URI: "x", NotFound: true}
	if got := string(v.JSON()) + string(v.Typed()); got != `{"uri":"x","notFound":true}{"$type":"app.bsky.feed.defs#notFoundPost","uri":"x","notFound":true}` {
		t.Error(got)
	}
}
