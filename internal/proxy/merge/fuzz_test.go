package merge

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
	"github.com/auroralocus/locus/internal/splice"
)

// busy is an account that has done a bit of everything.
func busy(t testing.TB, method string) *Call {
	c := &Call{
		Method: method, DID: alice, Handle: "alice.test", Now: noon,
		Query:   url.Values{"actor": {alice}, "uri": {uriOf(alice, "r1")}, "anchor": {uriOf(alice, "r1")}},
		Profile: func(context.Context) ([]byte, error) { return nil, nil },
		Ask: func(_ context.Context, method string, _ url.Values) ([]byte, error) {
			return []byte(`{"posts":[],"thread":[]}`), nil
		},
		Image: func(kind, cid string) string { return kind + cid },
	}
	add := func(path, subject, record string) {
		ch := Change{Path: path, Created: true, At: noon.Add(-time.Minute), Subject: subject}
		if record != "" {
			ch.Record, ch.CID = cbor(t, record), cid1
		}
		c.Changes = append(c.Changes, ch)
	}
	root := uriOf(carol, "0")
	add("app.bsky.feed.post/r1", "", `{"$type":"app.bsky.feed.post","text":"x","createdAt":"2026-11-28T11:00:00Z",`+reply(root, root)+`}`)
	add("app.bsky.feed.post/r2", "", `{"$type":"app.bsky.feed.post","text":"x","createdAt":"2026-11-28T11:00:00Z",`+reply(root, uriOf(alice, "r1"))+`}`)
	add("app.bsky.feed.like/l", root, `{"$type":"app.bsky.feed.like"}`)
	add("app.bsky.feed.repost/r", root, `{"$type":"app.bsky.feed.repost"}`)
	add("app.bsky.graph.follow/f", carol, `{"$type":"app.bsky.graph.follow"}`)
	add("app.bsky.actor.profile/self", "", `{"$type":"app.bsky.actor.profile","displayName":"blah"}`)
	c.Changes = append(c.Changes, Change{Path: "app.bsky.feed.post/gone"}, Change{Path: "app.bsky.feed.like/gone"})
	return c
}

// merges are members that merging may change or take away, and elements of these lists may come and go.
var merges = map[string]bool{
	"displayName": true, "avatar": true, "banner": true, "description": true, "pronouns": true, "website": true, "pinnedPost": true,
	"viewer": true, "like": true, "repost": true, "following": true, "likeCount": true, "repostCount": true, "replyCount": true,
	"followsCount": true, "followersCount": true, "postsCount": true,
	"feed": true, "thread": true, "replies": true, "reply": true, "root": true, "parent": true, "value": true,
}

// FuzzMerge: merging makes no error of any answer, gives JSON, and leaves every member alone that it does not merge.
func FuzzMerge(f *testing.F) {
	for _, body := range []string{
		detailed, `{"profiles":[` + detailed + `]}`, feedOf(item(postOf(carol, "0", time.Hour)), item(postOf(alice, "gone", time.Hour))), `{"feed":[]}`,
		thread(threadOf(postOf(carol, "0", time.Hour), `"replies":[`+threadOf(postOf(alice, "gone", time.Hour), "")+`]`)),
		listOf(itemOf(postOf(carol, "0", time.Hour), "0", ""), itemOf(postOf(alice, "gone", time.Hour), "1", "")),
		`{"thread":[{"uri":"x","depth":0,"value":{"$type":"app.bsky.unspecced.defs#threadItemNotFound"}}],"hasOtherReplies":false}`,
		`{"feed":[],"feed":[]}`, `{"thread":{"$type":"app.bsky.feed.defs#notFoundPost","uri":"x","notFound":true}}`,
	} {
		f.Add([]byte(body))
	}
	calls := map[string]*Call{}
	for method := range methods {
		calls[method] = busy(f, method)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for method, c := range calls {
			a, merged, err := c.Merge(context.Background(), body)
			if err != nil {
				t.Fatalf("%s: %v: %q", method, err, body)
			}
			if !merged {
				continue
			}
			if !json.Valid(a.Body) {
				t.Fatalf("%s: %q became %q", method, body, a.Body)
			}
			before, after := others(t, body), others(t, a.Body)
			if !bytes.Equal(before, after) {
				t.Fatalf("%s: %q became %q", method, before, after)
			}
		}
	})
}

// others is an answer without the members that are merged.
func others(t *testing.T, body []byte) []byte {
	d, err := splice.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var drop func(v splice.Value)
	drop = func(v splice.Value) {
		for m := range v.All {
			if v.Kind() == '{' && merges[m.Name()] {
				v.Set(m.Name(), nil)
				continue
			}
			drop(m)
		}
	}
	drop(d.Root())
	var out bytes.Buffer
	if err := json.Compact(&out, d.Bytes()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkTimeline merges into a timeline of 50 items with replies, about 170 KB: one new post, and at worst something at
// every author and some of the posts.
func BenchmarkTimeline(b *testing.B) {
	rich := strings.Replace(postOf(carol, "N", time.Hour), `"likeCount"`, `"embed":{"$type":"app.bsky.embed.images#view","images":[{"thumb":"https://cdn.test/`+strings.Repeat("x", 120)+`","fullsize":"https://cdn.test/`+strings.Repeat("y", 120)+`","alt":"`+strings.Repeat("said ", 40)+`"}]},"likeCount"`, 1)
	items := make([]string, 50)
	for i := range items {
		p := strings.Replace(rich, "/N", "/"+string(rune('a'+i%26)), 1)
		v := `{"$type":"app.bsky.feed.defs#postView",` + p[1:]
		items[i] = `{"post":` + p + `,"reply":{"root":` + v + `,"parent":` + v + `}}`
	}
	body := []byte(feedOf(items...))
	for name, changes := range map[string]int{"post": 1, "worst": 100} {
		b.Run(name, func(b *testing.B) {
			c := busy(b, "app.bsky.feed.getTimeline")
			c.Changes = c.Changes[:min(changes, len(c.Changes))]
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			before := procfs.Own()
			for b.Loop() {
				if _, ok, err := c.Merge(context.Background(), body); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
			b.ReportMetric(float64((procfs.Own()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}
