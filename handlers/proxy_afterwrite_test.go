package handlers

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// staleView is an app view that has seen an account up to a revision.
type staleView struct {
	*upstream
	rev     string
	packed  atomic.Bool // answers with gzip, whatever it is asked
	answers map[string]string
}

func newStaleView(t testing.TB, u *user) *staleView {
	v := &staleView{upstream: newUpstream(t), answers: map[string]string{}}
	_, v.rev = u.head()
	v.will(func(w http.ResponseWriter, r *http.Request) {
		nsid := strings.TrimPrefix(r.URL.Path, "/xrpc/")
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		body, ok := v.answers[nsid+"?"+query]
		if !ok {
			body, ok = v.answers[nsid]
		}
		h := w.Header()
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Atproto-Content-Labelers", "did:web:labels.example")
		if v.rev != "" {
			h.Set("Atproto-Repo-Rev", v.rev)
		}
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"NotFound","message":"Post not found"}`)
			return
		}
		if v.packed.Load() || r.Header.Get("Accept-Encoding") == "gzip;q=0.3" {
			h.Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, body)
			_ = z.Close()
			return
		}
		_, _ = io.WriteString(w, body)
	})
	return v
}

func seenBy(did, rkey string, more ...string) string {
	return fmt.Sprintf(`{"uri":"at://%s/app.bsky.feed.post/%s","cid":"bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy","author":{"did":"%s","handle":"x.test","displayName":"old"},`+
		`"record":{"$type":"app.bsky.feed.post","text":"seen"},"likeCount":1,"indexedAt":"2020-01-01T00:00:00.000Z","unheard":[1.0]%s}`, did, rkey, did, strings.Join(more, ""))
}

func (r reply) member(path ...any) any {
	r.t.Helper()
	var v any
	if err := json.Unmarshal(r.body, &v); err != nil {
		r.t.Fatalf("%s: %v: %s", r.what, err, r.body)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (r reply) has(is any, path ...any) {
	r.t.Helper()
	if got := r.member(path...); got != is {
		r.t.Errorf("%s: %v is %v, not %v: %s", r.what, path, got, is, r.body)
	}
}

func TestAfterWrite(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	first := rkeyOf(alice.create("app.bsky.feed.post", "", postRecord("first")).ok().str("uri"))
	view := newStaleView(t, alice)
	h.set(hostA, "app_view", view.as("bsky_appview"), "cdn_pattern", "https://cdn.test/%s/%s/%s")
	const carol = "did:plc:carolcarolcarolcarolcaro"
	view.answers["app.bsky.feed.getTimeline"] = `{"feed":[{"post":` + seenBy(carol, "1") + `}], "cursor": "c"}`
	view.answers["app.bsky.actor.getProfile"] = `{"did":"` + alice.did + `","handle":"x.test","description":"old","postsCount":1,"followsCount":0}`
	view.answers["app.bsky.feed.getAuthorFeed"] = `{"feed":[{"post":` + seenBy(alice.did, first) + `}]}`
	threadOf := func(post string) string {
		return `{"thread":{"$type":"app.bsky.feed.defs#threadViewPost","post":` + post + `}}`
	}
	root := "at://" + alice.did + "/app.bsky.feed.post/" + first
	view.answers["app.bsky.feed.getPostThread?uri="+root] = threadOf(seenBy(alice.did, first))

	// Nothing was written: it goes through.
	r := alice.ask("app.bsky.feed.getTimeline").ok()
	if string(r.body) != view.answers["app.bsky.feed.getTimeline"] || r.header.Get("Atproto-Upstream-Lag") != "" || r.header.Get("Atproto-Repo-Rev") != view.rev {
		t.Errorf("%v %s", r.header, r.body)
	}

	// A profile with a picture.
	blob := alice.uploaded(png(20))
	alice.put("app.bsky.actor.profile", "self", obj{"$type": "app.bsky.actor.profile", "displayName": "blah", "avatar": blob}).ok()
	r = alice.ask("app.bsky.actor.getProfile", "actor", alice.did).ok()
	r.has("blah", "displayName")
	r.has(nil, "description")
	r.has("https://cdn.test/avatar/"+alice.did+"/"+refOf(blob), "avatar")
	alice.ask("app.bsky.feed.getAuthorFeed", "actor", alice.handle).ok().has("blah", "feed", 0, "post", "author", "displayName")

	// A post, in the timeline, with the headers of a merged answer.
	post := alice.create("app.bsky.feed.post", "", postRecord("poast")).ok()
	r = alice.ask("app.bsky.feed.getTimeline").ok()
	r.has(post.str("uri"), "feed", 0, "post", "uri")
	r.has(post.str("cid"), "feed", 0, "post", "cid")
	r.has(alice.handle, "feed", 0, "post", "author", "handle")
	r.has("blah", "feed", 0, "post", "author", "displayName")
	r.has("at://"+carol+"/app.bsky.feed.post/1", "feed", 1, "post", "uri")
	if lag, err := strconv.Atoi(r.header.Get("Atproto-Upstream-Lag")); err != nil || lag < 0 {
		t.Errorf("lag %q", r.header.Get("Atproto-Upstream-Lag"))
	}
	if r.header.Get("Atproto-Repo-Rev") != view.rev || r.header.Get("Atproto-Content-Labelers") != "did:web:labels.example" || r.header.Get("Content-Length") != strconv.Itoa(len(r.body)) {
		t.Errorf("headers %v", r.header)
	}
	if !bytes.Contains(r.body, []byte(`"unheard":[1.0]`)) {
		t.Errorf("lost: %s", r.body)
	}
	// Also out of what comes packed.
	view.packed.Store(true)
	r = alice.ask("app.bsky.feed.getTimeline").ok()
	r.has(post.str("uri"), "feed", 0, "post", "uri")
	view.packed.Store(false)
	// Nobody else's.
	if r := bob.ask("app.bsky.feed.getTimeline").ok(); string(r.body) != view.answers["app.bsky.feed.getTimeline"] {
		t.Errorf("bob has %s", r.body)
	}

	// Threads, by DID and handle.
	one := alice.create("app.bsky.feed.post", "", replyRecord("one", root, root)).ok().str("uri")
	two := alice.create("app.bsky.feed.post", "", replyRecord("two", root, one)).ok().str("uri")
	r = alice.ask("app.bsky.feed.getPostThread", "uri", root).ok()
	r.has(one, "thread", "replies", 0, "post", "uri")
	r.has(two, "thread", "replies", 0, "replies", 0, "post", "uri")
	view.answers["app.bsky.feed.getPostThread?depth=0&parentHeight=79&uri="+root] = threadOf(seenBy(alice.did, first))
	for _, uri := range []string{one, strings.Replace(one, alice.did, alice.handle, 1)} {
		r = alice.ask("app.bsky.feed.getPostThread", "uri", uri).ok()
		r.has(one, "thread", "post", "uri")
		r.has(root, "thread", "parent", "post", "uri")
		r.has(two, "thread", "replies", 0, "post", "uri")
	}
	r = alice.ask("app.bsky.unspecced.getPostThreadV2", "anchor", two).ok() // its parents cannot be had
	r.has(one, "thread", 0, "uri")
	r.has(two, "thread", 1, "uri")
	alice.ask("app.bsky.feed.getPostThread", "uri", "at://"+carol+"/app.bsky.feed.post/none").fails(http.StatusBadRequest, "NotFound", "Post not found")
	bob.ask("app.bsky.feed.getPostThread", "uri", one).fails(http.StatusBadRequest, "NotFound", "")

	// A quote is asked of the app view, as the account.
	view.answers["app.bsky.feed.getPosts"] = `{"posts":[` + seenBy(carol, "1") + `]}`
	quoting := postRecord("look")
	quoting["embed"] = obj{"$type": "app.bsky.embed.record", "record": obj{"uri": "at://" + carol + "/app.bsky.feed.post/1", "cid": post.str("cid")}}
	alice.create("app.bsky.feed.post", "", quoting).ok()
	r = alice.ask("app.bsky.feed.getTimeline").ok()
	r.has("at://"+carol+"/app.bsky.feed.post/1", "feed", 0, "post", "embed", "record", "uri")
	if c := view.last().claims(t); c.Iss != alice.did || c.Lxm != "app.bsky.feed.getPosts" {
		t.Errorf("asked with %+v", c)
	}

	// Likes and follows as the viewer's own state; what is deleted is gone.
	like := alice.create("app.bsky.feed.like", "", obj{"$type": "app.bsky.feed.like", "createdAt": createdAt, "subject": obj{"uri": "at://" + carol + "/app.bsky.feed.post/1", "cid": post.str("cid")}}).ok().str("uri")
	follow := alice.create("app.bsky.graph.follow", "", obj{"$type": "app.bsky.graph.follow", "createdAt": createdAt, "subject": carol}).ok().str("uri")
	r = alice.ask("app.bsky.feed.getTimeline").ok()
	seen := len(r.member("feed").([]any)) - 1
	r.has(like, "feed", seen, "post", "viewer", "like")
	r.has(2.0, "feed", seen, "post", "likeCount")
	r.has(follow, "feed", seen, "post", "author", "viewer", "following")
	r = alice.ask("app.bsky.actor.getProfile", "actor", alice.did).ok()
	r.has(5.0, "postsCount")
	r.has(1.0, "followsCount")
	alice.del("app.bsky.feed.post", first).ok()
	alice.ask("app.bsky.feed.getPostThread", "uri", root).ok().has("app.bsky.feed.defs#notFoundPost", "thread", "$type")

	// What cannot be merged stays as it is.
	for _, body := range []string{"", "x", `{"feed":[{}]}`, `{"feed":[`, `[]`} {
		view.answers["app.bsky.feed.getTimeline"] = body
		if r := alice.ask("app.bsky.feed.getTimeline").ok(); string(r.body) != body || r.header.Get("Atproto-Upstream-Lag") != "" {
			t.Errorf("%q became %q", body, r.body)
		}
	}
	// An app view that has seen all of it.
	view.answers["app.bsky.feed.getTimeline"] = `{ "feed" : [] }`
	alice.ask("app.bsky.feed.getTimeline").ok().has("look", "feed", 0, "post", "record", "text")
	for _, rev := range []string{"", "nonsense", "7777777777777"} {
		view.rev = rev
		if r := alice.ask("app.bsky.feed.getTimeline").ok(); string(r.body) != `{ "feed" : [] }` {
			t.Errorf("rev %q: %s", rev, r.body)
		}
	}
	_, view.rev = alice.head()
	if r := alice.ask("app.bsky.feed.getTimeline").ok(); string(r.body) != `{ "feed" : [] }` {
		t.Errorf("up to date: %s", r.body)
	}
}

func replyRecord(text, root, parent string) obj {
	const cid = "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	r := postRecord(text)
	r["reply"] = obj{"root": obj{"uri": root, "cid": cid}, "parent": obj{"uri": parent, "cid": cid}}
	return r
}

// TestAfterWriteEncodings: what a client takes is what it gets, merged or not.
func TestAfterWriteEncodings(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	view := newStaleView(t, alice)
	h.set(hostA, "app_view", view.as("bsky_appview"))
	view.answers["app.bsky.feed.getTimeline"] = `{"feed":[]}`
	ask := func(accept string) reply {
		headers := []string{bearer(alice.access)}
		if accept != "" {
			headers = append(headers, "Accept-Encoding: "+accept)
		}
		return h.raw("GET", hostA, "/xrpc/app.bsky.feed.getTimeline", nil, headers...)
	}
	for range 2 { // first nothing is merged, then something is
		for accept, want := range map[string]string{"identity": "", "gzip, *;q=0": "gzip", "invalid": "", "gzip, deflate, br": ""} {
			if r := ask(accept).ok(); r.header.Get("Content-Encoding") != want {
				t.Errorf("%q: %v", accept, r.header)
			} else if want == "gzip" {
				z, err := gzip.NewReader(bytes.NewReader(r.body))
				if err != nil {
					t.Fatal(err)
				}
				if text, err := io.ReadAll(z); err != nil || !bytes.HasPrefix(text, []byte(`{"feed":[`)) {
					t.Errorf("%q, %v", text, err)
				}
			}
		}
		ask("invalid, *;q=0").fails(http.StatusNotAcceptable, "NotAcceptable", "this service does not support any of the requested encodings")
		ask(";q=1").fails(http.StatusBadRequest, "InvalidRequest", `Invalid accept-encoding: ";q=1"`)
		alice.create("app.bsky.feed.post", "", postRecord("new")).ok()
	}
	ask("identity").ok().has("new", "feed", 0, "post", "record", "text")
	if got := view.last().header.Get("Accept-Encoding"); got != "identity" {
		t.Errorf("the app view was asked for %q", got)
	}
}

// TestAfterWriteBounds: what is too long to be merged goes through whole, packed or not, and what is cut stays cut.
func TestAfterWriteBounds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	view := newStaleView(t, alice)
	h.set(hostA, "app_view", view.as("bsky_appview"))
	alice.create("app.bsky.feed.post", "", postRecord("new")).ok()
	ask := func() reply { // the encoding is named, so that the client does not undo it
		return h.raw("GET", hostA, "/xrpc/app.bsky.feed.getTimeline", nil, bearer(alice.access), "Accept-Encoding: gzip").ok()
	}
	long := `{"feed":[],"more":"` + strings.Repeat("x", 3<<20) + `"}`
	for _, body := range []string{long, strings.Replace(long, "x", "", 2<<20)} {
		view.answers["app.bsky.feed.getTimeline"] = body
		merged := len(body) < 2<<20
		if r := ask(); (string(r.body) != body) != merged {
			t.Errorf("%d bytes became %d", len(body), len(r.body))
		}
		view.packed.Store(true)
		r := ask()
		if packed := r.header.Get("Content-Encoding") == "gzip"; packed == merged {
			t.Errorf("%d bytes: %v", len(body), r.header)
		}
		view.packed.Store(false)
	}
	broken := map[string]http.HandlerFunc{
		"not what it says": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, `{"feed":[]}`)
		},
		"another type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `{"feed":[]}`)
		},
	}
	for name, answer := range broken {
		view.will(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Atproto-Repo-Rev", view.rev)
			w.Header().Set("Content-Type", "application/json")
			answer(w, r)
		})
		if r := ask(); string(r.body) != `{"feed":[]}` {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	for _, length := range []int{1000, 300_000} { // read at once, and while it comes in
		view.will(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Atproto-Repo-Rev", view.rev)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(length))
			_, _ = io.WriteString(w, `{"feed":[]`)
			panic(http.ErrAbortHandler)
		})
		r, err := h.try("GET", hostA, "/xrpc/app.bsky.feed.getTimeline", nil, bearer(alice.access))
		if err == nil && r.status == http.StatusOK {
			t.Errorf("half an answer of %d looks whole: %s", length, r.body)
		}
	}
}
