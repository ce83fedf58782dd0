package merge

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

func thread(anchor string) string { return `{"thread":` + anchor + `,"threadgate":{"uri":"x"}}` }

func TestThread(t *testing.T) {
	root := uriOf(alice, "0")
	w := newWorld(t, "app.bsky.feed.getPostThread", "uri="+url.QueryEscape(root))
	one := w.post("r1", reply(root, root), 2*time.Minute)
	two := w.post("r2", reply(root, one), time.Minute)
	w.post("elsewhere", reply(uriOf(carol, "9"), uriOf(carol, "9")), time.Minute)
	for _, replies := range []string{"", `"replies":[]`} {
		got := w.merged(thread(threadOf(postOf(alice, "0", time.Hour), replies)))
		long(t, got, 1, "thread", "replies")
		want(t, got, one, "thread", "replies", 0, "post", "uri")
		want(t, got, "app.bsky.feed.defs#threadViewPost", "thread", "replies", 0, "$type")
		want(t, got, two, "thread", "replies", 0, "replies", 0, "post", "uri")
		want(t, got, 2, "thread", "post", "replyCount")
		want(t, got, 1, "thread", "replies", 0, "post", "replyCount")
		want(t, got, "x", "threadgate", "uri")
	}
	// In front of the others, at any depth, and no deeper than was asked for.
	deep := threadOf(postOf(carol, "top", 3*time.Hour), `"replies":[`+threadOf(postOf(carol, "mid", 2*time.Hour), `"replies":[`+
		threadOf(postOf(alice, "0", time.Hour), `"replies":[`+threadOf(postOf(carol, "sister", time.Minute), "")+`]`)+`]`)+`]`)
	got := w.merged(thread(deep))
	long(t, got, 2, "thread", "replies", 0, "replies", 0, "replies")
	want(t, got, one, "thread", "replies", 0, "replies", 0, "replies", 0, "post", "uri")
	w.call.Query.Set("depth", "3")
	got = w.merged(thread(deep))
	want(t, got, nil, "thread", "replies", 0, "replies", 0, "replies", 0, "replies")
	w.call.Query.Set("depth", "0")
	w.unchanged(thread(threadOf(strings.Replace(postOf(alice, "0", time.Hour), `"replyCount":1,`, "", 1), "")))
}

func TestThreadNotFound(t *testing.T) {
	root, one := uriOf(carol, "0"), "at://alice.test/app.bsky.feed.post/r1"
	for _, asked := range []string{one, uriOf(alice, "r1")} {
		w := newWorld(t, "app.bsky.feed.getPostThread", "uri="+url.QueryEscape(asked)+"&parentHeight=10")
		first := w.post("r1", reply(root, root), 2*time.Minute)
		second := w.post("r2", reply(root, first), time.Minute)
		w.answers["app.bsky.feed.getPostThread?"+url.Values{"uri": {root}, "depth": {"0"}, "parentHeight": {"9"}}.Encode()] = thread(threadOf(postOf(carol, "0", time.Hour), ""))
		got, ok := w.notFound()
		if !ok {
			t.Fatal("no thread")
		}
		want(t, got, first, "thread", "post", "uri")
		want(t, got, root, "thread", "parent", "post", "uri")
		want(t, got, second, "thread", "replies", 0, "post", "uri")

		// A new post above it is not asked for: the app view does not know it.
		w.call.Query.Set("uri", second)
		w.answers["app.bsky.feed.getPostThread?"+url.Values{"uri": {root}, "depth": {"0"}, "parentHeight": {"8"}}.Encode()] = thread(threadOf(postOf(carol, "0", time.Hour), ""))
		got, _ = w.notFound()
		want(t, got, first, "thread", "parent", "post", "uri")
		want(t, got, root, "thread", "parent", "parent", "post", "uri")

		// Nobody to ask: the post is there all the same.
		clear(w.answers)
		got, ok = w.notFound()
		if !ok {
			t.Fatal("no thread without parents")
		}
		want(t, got, nil, "thread", "parent", "parent")

		for _, none := range []string{uriOf(carol, "r1"), uriOf(alice, "r9"), "at://bob.test/app.bsky.feed.post/r1", "", "x"} {
			w.call.Query.Set("uri", none)
			if got, ok := w.notFound(); ok {
				t.Errorf("%s: %s", none, got)
			}
		}
	}
}

// TestThreadCircle: records say of themselves what they answer, so they may go round in a circle.
func TestThreadCircle(t *testing.T) {
	a, b := uriOf(alice, "a"), uriOf(alice, "b")
	w := newWorld(t, "app.bsky.feed.getPostThread", "uri="+url.QueryEscape(a)+"&depth=1000&parentHeight=1000")
	w.post("a", reply(b, b), time.Minute)
	w.post("b", reply(a, a), time.Minute)
	w.post("c", reply(uriOf(alice, "c"), uriOf(alice, "c")), time.Minute)
	if got, ok := w.notFound(); !ok || len(got) > 10_000 {
		t.Errorf("%v, %d bytes", ok, len(got))
	}
	w.call.Method = "app.bsky.unspecced.getPostThreadV2"
	w.call.Query.Set("anchor", a)
	w.call.Query.Set("below", "1000")
	if got, ok := w.notFound(); !ok || len(got) > 10_000 {
		t.Errorf("%v, %d bytes", ok, len(got))
	}
}

func TestThreadDeleted(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getPostThread", "uri="+url.QueryEscape(uriOf(carol, "0")))
	w.remove("app.bsky.feed.post/gone")
	got := w.merged(thread(threadOf(postOf(carol, "0", time.Hour), `"parent":`+threadOf(postOf(alice, "gone", 2*time.Hour), "")+`,"replies":[`+threadOf(postOf(alice, "gone", time.Hour), "")+`,`+threadOf(postOf(carol, "1", time.Hour), "")+`]`)))
	want(t, got, "app.bsky.feed.defs#notFoundPost", "thread", "parent", "$type")
	long(t, got, 1, "thread", "replies")
	got = w.merged(thread(threadOf(postOf(alice, "gone", time.Hour), "")))
	want(t, got, true, "thread", "notFound")
}

func TestThreadMedia(t *testing.T) {
	root := uriOf(alice, "0")
	w := newWorld(t, "app.bsky.feed.getPostThread", "uri="+url.QueryEscape(root))
	blob := `{"$type":"blob","ref":{"$link":"` + pic + `"},"mimeType":"image/jpeg","size":3}`
	one := w.post("r1", reply(root, root)+`,"embed":{"$type":"app.bsky.embed.images","images":[{"image":`+blob+`,"aspectRatio":{"height":2,"width":1},"alt":"alt text"}]}`, 2*time.Minute)
	w.post("r2", reply(root, one)+`,"embed":{"$type":"app.bsky.embed.external","external":{"uri":"https://example.com","title":"TestImage","description":"testLink","thumb":`+blob+`}}`, time.Minute)
	got := w.merged(thread(threadOf(postOf(alice, "0", time.Hour), "")))
	in := []any{"thread", "replies", 0, "post", "embed"}
	want(t, got, "app.bsky.embed.images#view", append(in, "$type")...)
	want(t, got, "https://cdn.test/feed_fullsize/"+alice+"/"+pic, append(in, "images", 0, "fullsize")...)
	want(t, got, "https://cdn.test/feed_thumbnail/"+alice+"/"+pic, append(in, "images", 0, "thumb")...)
	want(t, got, 2, append(in, "images", 0, "aspectRatio", "height")...)
	want(t, got, "alt text", append(in, "images", 0, "alt")...)
	in = []any{"thread", "replies", 0, "replies", 0, "post", "embed"}
	want(t, got, "TestImage", append(in, "external", "title")...)
	want(t, got, "https://cdn.test/feed_thumbnail/"+alice+"/"+pic, append(in, "external", "thumb")...)
}

func TestThreadQuotes(t *testing.T) {
	root := uriOf(carol, "0")
	w := newWorld(t, "app.bsky.feed.getPostThread", "uri="+url.QueryEscape(root))
	quote := func(uri string) string {
		return `"embed":{"$type":"app.bsky.embed.record","record":{"uri":"` + uri + `","cid":"` + cid1 + `"}}`
	}
	seen, gone, list, feed := uriOf(alice, "seen"), uriOf(carol, "gone"), "at://"+carol+"/app.bsky.graph.list/l", "at://"+carol+"/app.bsky.feed.generator/f"
	own := w.post("own", `"embed":{"$type":"app.bsky.embed.external","external":{"uri":"https://example.com","title":"T","description":""}}`, 9*time.Minute)
	for i, uri := range []string{seen, gone, list, feed, own} {
		w.post("q"+string(rune('5'-i)), reply(root, root)+","+quote(uri), time.Duration(i+1)*time.Minute)
	}
	w.post("q0", reply(root, root)+`,"embed":{"$type":"app.bsky.embed.recordWithMedia","record":{"record":{"uri":"`+seen+`","cid":"`+cid1+`"}},"media":{"$type":"app.bsky.embed.external","external":{"uri":"https://example.com","title":"T","description":""}}}`, 6*time.Minute)
	w.answers["app.bsky.feed.getPosts?"+url.Values{"uris": {seen, gone}}.Encode()] = `{"posts":[` + strings.Replace(postOf(alice, "seen", time.Hour), `"likeCount"`, `"embed":{"$type":"x"},"labels":[{"val":"y"}],"likeCount"`, 1) + `]}`
	w.answers["app.bsky.graph.getList?"+url.Values{"list": {list}}.Encode()] = `{"list":{"uri":"` + list + `","cid":"x","creator":` + author(carol) + `,"name":"n","purpose":"p","indexedAt":"x"},"items":[]}`
	got := w.merged(thread(threadOf(postOf(carol, "0", time.Hour), "")))
	record := func(i int, path ...any) []any {
		return append([]any{"thread", "replies", i, "post", "embed", "record"}, path...)
	}
	want(t, got, "app.bsky.embed.record#viewRecord", record(0, "$type")...)
	want(t, got, seen, record(0, "uri")...)
	want(t, got, "old name", record(0, "author", "displayName")...)
	want(t, got, "x", record(0, "embeds", 0, "$type")...)
	want(t, got, "y", record(0, "labels", 0, "val")...)
	want(t, got, "app.bsky.embed.record#viewNotFound", record(1, "$type")...)
	want(t, got, true, record(1, "notFound")...)
	want(t, got, "app.bsky.graph.defs#listView", record(2, "$type")...)
	want(t, got, "n", record(2, "name")...)
	want(t, got, nil, "thread", "replies", 3, "post", "embed") // nobody could be asked
	want(t, got, own, record(4, "uri")...)
	want(t, got, "T", record(4, "embeds", 0, "external", "title")...)
	want(t, got, seen, record(5, "record", "uri")...)
	want(t, got, "T", "thread", "replies", 5, "post", "embed", "media", "external", "title")
	if len(w.asked) != 3 {
		t.Errorf("asked %q", w.asked)
	}
}

func itemOf(post string, depth, more string) string {
	return `{"uri":` + post[7:strings.IndexByte(post, ',')] + `,"depth":` + depth + `,"value":{"$type":"app.bsky.unspecced.defs#threadItemPost","post":` + post +
		`,"moreParents":false,"moreReplies":0,"opThread":true,"hiddenByThreadgate":false,"mutedByViewer":false` + more + `},"odd":1}`
}

func listOf(items ...string) string {
	return `{"thread":[` + strings.Join(items, ",") + `],"hasOtherReplies":false,"odd":2}`
}

func TestThreadV2(t *testing.T) {
	root := uriOf(alice, "0")
	w := newWorld(t, "app.bsky.unspecced.getPostThreadV2", "anchor="+url.QueryEscape(root))
	one := w.post("r1", reply(root, root), 2*time.Minute)
	two := w.post("r2", reply(root, one), time.Minute)
	three := w.post("r3", reply(root, uriOf(carol, "last")), time.Minute)
	body := listOf(itemOf(postOf(carol, "up", 9*time.Hour), "-1", ""), itemOf(postOf(alice, "0", time.Hour), "0", ""), itemOf(postOf(carol, "mid", time.Hour), "1", ""), itemOf(postOf(carol, "last", time.Hour), "2", ""))
	got := w.merged(body)
	for i, it := range []struct {
		uri   string
		depth int
	}{{uriOf(carol, "up"), -1}, {root, 0}, {one, 1}, {two, 2}, {uriOf(carol, "mid"), 1}, {uriOf(carol, "last"), 2}, {three, 3}} {
		want(t, got, it.uri, "thread", i, "uri")
		want(t, got, it.uri, "thread", i, "value", "post", "uri")
		want(t, got, it.depth, "thread", i, "depth")
	}
	long(t, got, 7, "thread")
	want(t, got, true, "thread", 2, "value", "opThread")
	want(t, got, false, "thread", 6, "value", "opThread")
	want(t, got, 2, "odd")
	w.call.Query.Set("below", "1")
	long(t, w.merged(body), 5, "thread")

	w = newWorld(t, "app.bsky.unspecced.getPostThreadV2", "anchor="+url.QueryEscape(root))
	w.remove("app.bsky.feed.post/mid")
	body = strings.ReplaceAll(body, carol+"/app.bsky.feed.post/mid", alice+"/app.bsky.feed.post/mid")
	long(t, w.merged(body), 2, "thread") // what hangs from it goes, too
	w.remove("app.bsky.feed.post/0")
	got = w.merged(body)
	want(t, got, "app.bsky.unspecced.defs#threadItemNotFound", "thread", 1, "value", "$type")
	long(t, got, 2, "thread")
}

func TestThreadV2NotFound(t *testing.T) {
	root := uriOf(carol, "0")
	w := newWorld(t, "app.bsky.unspecced.getPostThreadV2", "anchor="+url.QueryEscape("at://alice.test/app.bsky.feed.post/r2"))
	one := w.post("r1", reply(root, root), 2*time.Minute)
	two := w.post("r2", reply(root, one), time.Minute)
	three := w.post("r3", reply(root, two), time.Second)
	w.answers["app.bsky.unspecced.getPostThreadV2?"+url.Values{"anchor": {root}, "above": {"true"}, "below": {"0"}}.Encode()] =
		listOf(itemOf(postOf(carol, "up", 9*time.Hour), "-1", ""), itemOf(postOf(carol, "0", time.Hour), "0", ""))
	none := `{"uri":"` + two + `","depth":0,"value":{"$type":"app.bsky.unspecced.defs#threadItemNotFound"}}`
	made, ok := w.notFound()
	if !ok {
		t.Fatal("no thread")
	}
	for _, got := range []string{made, w.merged(listOf(none))} {
		for i, it := range []struct {
			uri   string
			depth int
		}{{uriOf(carol, "up"), -3}, {root, -2}, {one, -1}, {two, 0}, {three, 1}} {
			want(t, got, it.uri, "thread", i, "uri")
			want(t, got, it.depth, "thread", i, "depth")
		}
		long(t, got, 5, "thread")
		want(t, got, false, "hasOtherReplies")
	}
	w.call.Query.Set("anchor", root)
	w.unchanged(listOf(strings.Replace(none, two, root, 1)))
}
