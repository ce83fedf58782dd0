package merge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/repo/dagcbor"
)

const (
	alice = "did:plc:alice"
	carol = "did:plc:carol"
	pic   = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	cid1  = "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// ago is a time before noon as views have it.
func ago(d time.Duration) string { return indexedAt(noon.Add(-d)) }

// world is the account's side of a test: what it has written, and an app view to be asked.
type world struct {
	t       *testing.T
	call    *Call
	answers map[string]string // of the app view: "method?query"
	mu      sync.Mutex
	asked   []string
	profile string
}

func newWorld(t *testing.T, method, query string) *world {
	w := &world{t: t, answers: map[string]string{}}
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	w.call = &Call{Method: method, Query: q, DID: alice, Handle: "alice.test", Now: noon}
	w.call.Profile = func(context.Context) ([]byte, error) {
		if w.profile == "" {
			return nil, nil
		}
		return cbor(t, w.profile), nil
	}
	w.call.Ask = func(_ context.Context, method string, q url.Values) ([]byte, error) {
		at := method + "?" + q.Encode()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, at)
		if body, ok := w.answers[at]; ok {
			return []byte(body), nil
		}
		return nil, errors.New("no such answer")
	}
	w.call.Image = func(kind, cid string) string { return "https://cdn.test/" + kind + "/" + alice + "/" + cid }
	return w
}

func cbor(t testing.TB, text string) []byte {
	t.Helper()
	b, err := dagcbor.FromJSON([]byte(text), dagcbor.Limits{Foreign: true})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

// write is a change so long before noon.
func (w *world) write(path, record string, before time.Duration) string {
	ch := Change{Path: path, Created: true, CID: cid1, Record: cbor(w.t, record), At: noon.Add(-before)}
	if s, ok := at(record, "subject").(string); ok {
		ch.Subject = s
	} else if s, ok := at(record, "subject", "uri").(string); ok {
		ch.Subject = s
	}
	w.call.Changes = append(w.call.Changes, ch)
	return "at://" + alice + "/" + path
}

func (w *world) setProfile(record string) {
	w.call.Changes = append(w.call.Changes, Change{Path: "app.bsky.actor.profile/self", CID: cid1, Record: cbor(w.t, record), At: noon.Add(-time.Second)})
}

func (w *world) remove(path string) {
	w.call.Changes = append(w.call.Changes, Change{Path: path, At: noon.Add(-time.Second)})
}

// post writes a post with these members beside the usual ones.
func (w *world) post(key, more string, before time.Duration) string {
	if more != "" {
		more = "," + more
	}
	return w.write("app.bsky.feed.post/"+key, `{"$type":"app.bsky.feed.post","text":"post `+key+`","createdAt":"`+ago(before)+`"`+more+`}`, before)
}

func reply(root, parent string) string {
	return `"reply":{"root":{"uri":"` + root + `","cid":"` + cid1 + `"},"parent":{"uri":"` + parent + `","cid":"` + cid1 + `"}}`
}

func (w *world) like(key, subject string) string {
	return w.write("app.bsky.feed.like/"+key, `{"$type":"app.bsky.feed.like","subject":{"uri":"`+subject+`","cid":"`+cid1+`"}}`, time.Second)
}

func (w *world) repost(key, subject string) string {
	return w.write("app.bsky.feed.repost/"+key, `{"$type":"app.bsky.feed.repost","subject":{"uri":"`+subject+`","cid":"`+cid1+`"}}`, time.Second)
}

func (w *world) follow(key, subject string) string {
	return w.write("app.bsky.graph.follow/"+key, `{"$type":"app.bsky.graph.follow","subject":"`+subject+`"}`, time.Second)
}

// merged is an answer that has to be merged, and was.
func (w *world) merged(body string) string {
	w.t.Helper()
	a, ok, err := w.call.Merge(context.Background(), []byte(body))
	if err != nil || !ok {
		w.t.Fatalf("not merged (%v): %s", err, body)
	}
	if !json.Valid(a.Body) {
		w.t.Fatalf("no JSON any more: %s", a.Body)
	}
	return string(a.Body)
}

func (w *world) unchanged(body string) {
	w.t.Helper()
	if a, ok, err := w.call.Merge(context.Background(), []byte(body)); ok || err != nil {
		w.t.Fatalf("changed (%v) to %s", err, a.Body)
	}
}

func (w *world) notFound() (string, bool) {
	w.t.Helper()
	a, ok, err := w.call.NotFound(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(a.Body), ok
}

// at is what is at a path in a JSON text.
func at(text string, path ...any) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
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

func want(t *testing.T, text string, is any, path ...any) {
	t.Helper()
	if n, ok := is.(int); ok {
		is = float64(n)
	}
	if got := at(text, path...); got != is {
		t.Errorf("%v is %v, not %v, in %s", path, got, is, text)
	}
}

func long(t *testing.T, text string, n int, path ...any) {
	t.Helper()
	if l, _ := at(text, path...).([]any); len(l) != n {
		t.Errorf("%v has %d, not %d, in %s", path, len(l), n, text)
	}
}

// What an app view answers.

func author(did string) string {
	return `{"did":"` + did + `","handle":"` + strings.TrimPrefix(did, "did:plc:") + `.test","displayName":"old name","avatar":"https://cdn.test/old","viewer":{"muted":false},"labels":[],"newer":{"than":"us"}}`
}

func postOf(did, key string, before time.Duration) string {
	return fmt.Sprintf(`{"uri":"%s","cid":"%s","author":%s,"record":{"$type":"app.bsky.feed.post","text":"seen ä\u00e4 \ud83d","createdAt":"%s"},"likeCount":3,"repostCount":2,"replyCount":1,"quoteCount":0,"indexedAt":"%s","viewer":{"threadMuted":false},"someday": 1.50}`,
		uriOf(did, key), cid1, author(did), ago(before), ago(before))
}

func uriOf(did, key string) string { return "at://" + did + "/app.bsky.feed.post/" + key }

func item(post string) string { return `{"post":` + post + `,"feedContext":"x"}` }

func feedOf(items ...string) string {
	return `{"cursor":"next","feed":[` + strings.Join(items, ",") + `],"more":true}`
}

func threadOf(post, more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"$type":"app.bsky.feed.defs#threadViewPost","post":` + post + more + `}`
}
