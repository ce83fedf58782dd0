package merge

import (
	"context"
	"strings"
	"testing"
	"time"
)

const detailed = `{"did":"did:plc:alice","handle":"alice.test","displayName":"old","description":"old words","avatar":"https://cdn.test/a","banner":"https://cdn.test/b",` +
	`"followersCount":5,"followsCount":7,"postsCount":9,"viewer":{"muted":false},"unheard":[1, 2]}`

func TestProfile(t *testing.T) {
	w := newWorld(t, "app.bsky.actor.getProfile", "actor=did:plc:alice")
	w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":"blah"}`)
	got := w.merged(detailed)
	want(t, got, "blah", "displayName")
	for _, gone := range []string{"description", "avatar", "banner"} {
		want(t, got, nil, gone) // what the record does not have is not shown any more
	}
	want(t, got, 9, "postsCount")
	if !strings.Contains(got, `"unheard":[1, 2]`) {
		t.Errorf("a member that nobody knows was lost: %s", got)
	}
	w.unchanged(strings.Replace(detailed, alice, carol, 1))
}

func TestProfilePictures(t *testing.T) {
	w := newWorld(t, "app.bsky.actor.getProfile", "actor=alice.test")
	blob := `{"$type":"blob","ref":{"$link":"` + pic + `"},"mimeType":"image/jpeg","size":3}`
	w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":"old","description":"old words","avatar":` + blob + `,"banner":` + blob + `}`)
	got := w.merged(detailed)
	want(t, got, "https://cdn.test/avatar/"+alice+"/"+pic, "avatar")
	want(t, got, "https://cdn.test/banner/"+alice+"/"+pic, "banner")
	want(t, got, "old words", "description")
}

func TestProfileGone(t *testing.T) {
	w := newWorld(t, "app.bsky.actor.getProfile", "actor="+alice)
	w.remove("app.bsky.actor.profile/self")
	got := w.merged(detailed)
	want(t, got, nil, "displayName")
	want(t, got, nil, "avatar")
}

func TestProfiles(t *testing.T) {
	w := newWorld(t, "app.bsky.actor.getProfiles", "actors="+alice)
	w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":"blah"}`)
	uri := w.follow("f1", carol)
	got := w.merged(`{"profiles":[` + strings.Replace(detailed, alice, carol, 1) + `,` + detailed + `]}`)
	want(t, got, "old", "profiles", 0, "displayName")
	want(t, got, uri, "profiles", 0, "viewer", "following")
	want(t, got, 6, "profiles", 0, "followersCount")
	want(t, got, 7, "profiles", 0, "followsCount")
	want(t, got, "blah", "profiles", 1, "displayName")
	want(t, got, 8, "profiles", 1, "followsCount")
}

func TestCounts(t *testing.T) {
	w := newWorld(t, "app.bsky.actor.getProfile", "actor="+alice)
	w.post("p1", "", 3*time.Second)
	w.post("p2", "", 2*time.Second)
	w.post("p3", "", time.Second)
	w.remove("app.bsky.feed.post/p3") // made and deleted behind the revision: never counted
	w.remove("app.bsky.feed.post/old")
	w.remove("app.bsky.graph.follow/old")
	got := w.merged(detailed)
	want(t, got, 9+2-1, "postsCount")
	want(t, got, 6, "followsCount")
	want(t, got, "old", "displayName")
}

func TestAuthorFeed(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getAuthorFeed", "actor=alice.test")
	w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":"blah"}`)
	uri := w.post("new", "", time.Minute)
	body := feedOf(item(postOf(alice, "1", time.Hour)), item(postOf(carol, "2", 2*time.Hour)), item(postOf(alice, "3", 3*time.Hour)))
	got := w.merged(body)
	long(t, got, 4, "feed")
	want(t, got, uri, "feed", 0, "post", "uri")
	want(t, got, "alice.test", "feed", 0, "post", "author", "handle")
	for _, i := range []int{0, 1, 3} {
		want(t, got, "blah", "feed", i, "post", "author", "displayName")
		want(t, got, nil, "feed", i, "post", "author", "avatar")
	}
	want(t, got, "old name", "feed", 2, "post", "author", "displayName")

	// Of somebody else only the account's own face in it changes.
	w.call.Query.Set("actor", carol)
	got = w.merged(body)
	long(t, got, 3, "feed")
}

func TestAuthorFeedPlaces(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getAuthorFeed", "actor="+alice)
	uri := w.post("new", "", 30*time.Minute)
	pinned := strings.Replace(item(postOf(alice, "pin", 100*time.Hour)), `"feedContext"`, `"reason":{"$type":"app.bsky.feed.defs#reasonPin"},"feedContext"`, 1)
	repost := strings.Replace(item(postOf(carol, "old", 90*time.Hour)), `"feedContext"`,
		`"reason":{"$type":"app.bsky.feed.defs#reasonRepost","by":`+author(alice)+`,"indexedAt":"`+ago(time.Minute)+`"},"feedContext"`, 1)
	got := w.merged(feedOf(pinned, repost, item(postOf(alice, "1", time.Hour))))
	want(t, got, uriOf(alice, "pin"), "feed", 0, "post", "uri")
	want(t, got, uriOf(carol, "old"), "feed", 1, "post", "uri") // by when it was reposted
	want(t, got, uri, "feed", 2, "post", "uri")

	want(t, w.merged(`{"feed":[]}`), uri, "feed", 0, "post", "uri")
	w.call.Query.Set("cursor", "x")
	w.unchanged(`{"feed":[]}`)
}

func TestAuthorFeedFilter(t *testing.T) {
	for filter, n := range map[string]int{"": 4, "posts_with_replies": 4, "posts_no_replies": 2, "posts_and_author_threads": 3, "posts_with_media": 1, "posts_with_video": 0} {
		w := newWorld(t, "app.bsky.feed.getAuthorFeed", "actor="+alice+"&filter="+filter)
		mine := w.post("mine", "", 4*time.Second)
		w.post("self", reply(mine, mine), 3*time.Second)
		w.post("other", reply(uriOf(carol, "1"), uriOf(carol, "1")), 2*time.Second)
		w.post("pic", `"embed":{"$type":"app.bsky.embed.images","images":[{"alt":"","image":{"$type":"blob","ref":{"$link":"`+pic+`"},"mimeType":"image/png","size":1}}]}`, time.Second)
		a, _, err := w.call.Merge(context.Background(), []byte(feedOf(item(postOf(alice, "0", time.Hour)))))
		if err != nil {
			t.Fatal(err)
		}
		got := string(a.Body)
		if n == 0 {
			got = feedOf(item("{}"))
		}
		long(t, got, n+1, "feed")
	}
}

func TestTimeline(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getTimeline", "")
	w.profile = `{"$type":"app.bsky.actor.profile","displayName":"Alice","avatar":{"cid":"` + pic + `","mimeType":"image/png"}}`
	older := w.post("older", "", 90*time.Minute)
	newer := w.post("newer", `"langs":["en"]`, time.Minute)
	w.post("oldest", "", 9*time.Hour) // belongs to the next page
	body := feedOf(item(postOf(carol, "1", time.Hour)), item(postOf(carol, "2", 2*time.Hour)))
	got := w.merged(body)
	long(t, got, 4, "feed")
	for i, uri := range []string{newer, uriOf(carol, "1"), older, uriOf(carol, "2")} {
		want(t, got, uri, "feed", i, "post", "uri")
	}
	want(t, got, "Alice", "feed", 0, "post", "author", "displayName")
	want(t, got, "https://cdn.test/avatar/"+alice+"/"+pic, "feed", 0, "post", "author", "avatar")
	want(t, got, "post newer", "feed", 0, "post", "record", "text")
	want(t, got, ago(time.Minute), "feed", 0, "post", "indexedAt")
	for _, c := range []string{"likeCount", "repostCount", "replyCount", "quoteCount"} {
		want(t, got, 0, "feed", 0, "post", c)
	}
	for _, kept := range []string{`"seen ä\u00e4 \ud83d"`, `"someday": 1.50`, `"newer":{"than":"us"}`, `"more":true`, `"cursor":"next"`} {
		if !strings.Contains(got, kept) {
			t.Errorf("%s is lost", kept)
		}
	}

	// On a further page only what belongs between its items.
	w.call.Query.Set("cursor", "x")
	got = w.merged(body)
	long(t, got, 3, "feed")
	want(t, got, older, "feed", 1, "post", "uri")

	// A post that the app view shows already does not come twice.
	w.call.Query.Del("cursor")
	got = w.merged(feedOf(item(postOf(alice, "newer", time.Minute)), item(postOf(carol, "2", 2*time.Hour))))
	long(t, got, 3, "feed")
}

func TestLag(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getTimeline", "")
	w.post("new", "", time.Minute)
	w.post("newer", "", time.Second)
	a, ok, err := w.call.Merge(context.Background(), []byte(`{"feed":[]}`))
	if err != nil || !ok || a.Lag != time.Minute {
		t.Errorf("lag %v, %v, %v", a.Lag, ok, err)
	}
}

func TestViewerState(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getTimeline", "")
	one, two := uriOf(carol, "1"), uriOf(carol, "2")
	like, repost, follow := w.like("l", one), w.repost("r", two), w.follow("f", carol)
	stateless := strings.Replace(postOf(carol, "2", time.Hour), `,"viewer":{"threadMuted":false}`, "", 1)
	got := w.merged(feedOf(item(postOf(carol, "1", time.Hour)), item(stateless)))
	want(t, got, like, "feed", 0, "post", "viewer", "like")
	want(t, got, false, "feed", 0, "post", "viewer", "threadMuted")
	want(t, got, 4, "feed", 0, "post", "likeCount")
	want(t, got, repost, "feed", 1, "post", "viewer", "repost")
	want(t, got, 3, "feed", 1, "post", "repostCount")
	for i := range 2 {
		want(t, got, follow, "feed", i, "post", "author", "viewer", "following")
	}
	// What the app view has counted already is not counted again.
	liked := strings.Replace(postOf(carol, "1", time.Hour), `"threadMuted":false`, `"like":"`+like+`"`, 1)
	want(t, w.merged(feedOf(item(liked))), 3, "feed", 0, "post", "likeCount")
}

func TestUndone(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getTimeline", "")
	w.remove("app.bsky.feed.like/l")
	w.remove("app.bsky.graph.follow/f")
	w.remove("app.bsky.feed.repost/r")
	w.remove("app.bsky.feed.post/gone")
	mine := func(collection, key string) string { return "at://" + alice + "/app.bsky." + collection + "/" + key }
	liked := strings.Replace(postOf(carol, "1", time.Hour), `"threadMuted":false`, `"like":"`+mine("feed.like", "l")+`"`, 1)
	liked = strings.Replace(liked, `"muted":false`, `"following":"`+mine("graph.follow", "f")+`"`, 1)
	repost := strings.Replace(item(postOf(carol, "2", 90*time.Hour)), `"feedContext"`,
		`"reason":{"$type":"app.bsky.feed.defs#reasonRepost","by":`+author(alice)+`,"uri":"`+mine("feed.repost", "r")+`","indexedAt":"`+ago(time.Minute)+`"},"feedContext"`, 1)
	answer := strings.Replace(item(postOf(carol, "3", 2*time.Hour)), `"feedContext"`,
		`"reply":{"root":{"$type":"app.bsky.feed.defs#postView",`+postOf(alice, "gone", 3*time.Hour)[1:]+`,"parent":{"$type":"app.bsky.feed.defs#blockedPost","uri":"x","blocked":true,"author":{}}},"feedContext"`, 1)
	got := w.merged(feedOf(item(liked), repost, item(postOf(alice, "gone", time.Hour)), answer))
	long(t, got, 2, "feed")
	want(t, got, nil, "feed", 0, "post", "viewer", "like")
	want(t, got, 2, "feed", 0, "post", "likeCount")
	want(t, got, nil, "feed", 0, "post", "author", "viewer", "following")
	want(t, got, "app.bsky.feed.defs#notFoundPost", "feed", 1, "reply", "root", "$type")
	want(t, got, uriOf(alice, "gone"), "feed", 1, "reply", "root", "uri")
	want(t, got, true, "feed", 1, "reply", "parent", "blocked")
}

func TestActorLikes(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getActorLikes", "actor=alice.test")
	w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":"blah"}`)
	w.remove("app.bsky.feed.like/l")
	unliked := strings.Replace(postOf(carol, "1", time.Hour), `"threadMuted":false`, `"like":"at://`+alice+`/app.bsky.feed.like/l"`, 1)
	got := w.merged(feedOf(item(unliked), item(postOf(alice, "2", time.Hour))))
	long(t, got, 1, "feed")
	want(t, got, "blah", "feed", 0, "post", "author", "displayName")
}

// TestStays: what is not merged stays, byte for byte, and is no error.
func TestStays(t *testing.T) {
	for _, body := range []string{
		``, `x`, `[]`, `{}`, `null`, `{"feed":{}}`, `{"feed":[{}]}`, `{"feed":[{"post":{"uri":"x"}}]}`, `{"feed":[`, "{\"feed\":[],\"x\":\"\xff\"}",
		feedOf(item(strings.Replace(postOf(carol, "1", time.Hour), `"indexedAt"`, `"indexed"`, 1))),
		feedOf(item(strings.Replace(postOf(carol, "1", time.Hour), `"likeCount":3`, `"likeCount":"3"`, 1))),
	} {
		for method := range methods {
			w := newWorld(t, method, "actor="+alice)
			w.post("new", "", time.Minute)
			w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":"blah"}`)
			w.unchanged(body)
		}
	}
	w := newWorld(t, "app.bsky.feed.getTimeline", "")
	w.unchanged(feedOf(item(postOf(alice, "1", time.Hour)))) // nothing is new
	w.like("l", "at://elsewhere")
	w.unchanged(feedOf(item(postOf(alice, "1", time.Hour)))) // nothing that is in it
	w.call.Method = "app.bsky.feed.getFeed"
	w.unchanged(feedOf(item(postOf(alice, "1", time.Hour))))
}

// TestBrokenRecords: a record that is not what its collection says makes no view.
func TestBrokenRecords(t *testing.T) {
	w := newWorld(t, "app.bsky.feed.getTimeline", "")
	w.write("app.bsky.feed.post/a", `{"$type":"app.bsky.feed.post","text":7}`, time.Second)
	w.write("app.bsky.feed.post/b", `{"$type":"app.bsky.feed.post","text":"x","createdAt":"x","reply":{"root":1}}`, time.Second)
	w.write("app.bsky.feed.like/c", `{"$type":"app.bsky.feed.like"}`, time.Second)
	w.setProfile(`{"$type":"app.bsky.actor.profile","displayName":{}}`)
	w.unchanged(`{"feed":[]}`)
	w.post("bad", `"embed":{"$type":"app.bsky.embed.images","images":"none"}`, time.Second)
	uri := w.post("good", `"embed":{"$type":"some.other.embed","images":"none"}`, time.Second)
	got := w.merged(`{"feed":[]}`)
	long(t, got, 1, "feed")
	want(t, got, uri, "feed", 0, "post", "uri")
	want(t, got, nil, "feed", 0, "post", "embed")
}
