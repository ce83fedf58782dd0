// Package merge puts into an app view's answer what the one who asks has just written and the app view has not seen yet:
// new posts, the new profile, likes, reposts and follows as the viewer's own state, counts; and takes out what was just
// deleted. An answer says up to which revision of the asker's repository it knows; the changes behind that are handed in.
//
// It is pure: records and answers come in, an answer goes out. What it must know besides it asks through the functions in
// [Call]. Nothing of an answer is lost: it is changed where it lies (internal/splice), and an answer that is not what its
// lexicon says stays as it is.
package merge

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/proxy/view"
	"github.com/auroralocus/locus/internal/splice"
)

const (
	// MaxPosts is how many new posts one answer takes, the newest.
	MaxPosts = 50
	// AskTime bounds what is asked of the app view for one answer: quoted records, the posts above a new one.
	AskTime = 3 * time.Second
	// maxQuotes is how many quoted feeds and lists are asked for, each by a call of its own.
	maxQuotes = 5
)

// Collections whose changes count.
const (
	collectionProfile = "app.bsky.actor.profile"
	collectionPost    = "app.bsky.feed.post"
	collectionLike    = "app.bsky.feed.like"
	collectionRepost  = "app.bsky.feed.repost"
	collectionFollow  = "app.bsky.graph.follow"
)

// Change is what one commit did to one record.
type Change struct {
	Path    string // collection/key
	Created bool   // there was no record before
	CID     string // "": deleted
	Record  []byte // DAG-CBOR; nil: deleted
	Subject string // what a like, repost or follow points at: a URI or a DID
	At      time.Time
}

// Call is one call whose answer is merged.
type Call struct {
	Method string // its NSID
	Query  url.Values
	// DID and Handle are of the account that asks; no handle: it has none that is valid.
	DID, Handle string
	// Changes of the account that the app view has not seen, oldest first.
	Changes []Change
	Now     time.Time

	// Profile is the account's profile record in DAG-CBOR, nil if there is none.
	Profile func(context.Context) ([]byte, error)
	// Ask asks the same app view, as the account: the body of a 200.
	Ask func(ctx context.Context, method string, query url.Values) ([]byte, error)
	// Image is the address of one of the account's pictures. Kinds: avatar, banner, feed_thumbnail, feed_fullsize.
	Image func(kind, cid string) string
}

// Answer is a merged answer.
type Answer struct {
	Body []byte
	// Lag is how long ago the oldest change was made that the app view has not seen.
	Lag time.Duration
}

// merging is one call at work.
type merging struct {
	*Call
	own  *own
	doc  *splice.Doc // the answer
	docs []*splice.Doc

	present    map[string]bool // posts that are in the answer
	freshPosts []*post         // see fresh; nil: not asked for yet
	replies    map[string][]*post
	quotes     map[string]*quote // records quoted by new posts
	author     *view.NewActorProfileViewBasic
}

var methods = map[string]func(*merging, context.Context) error{
	"app.bsky.actor.getProfile":          (*merging).getProfile,
	"app.bsky.actor.getProfiles":         (*merging).getProfiles,
	"app.bsky.feed.getActorLikes":        (*merging).getActorLikes,
	"app.bsky.feed.getAuthorFeed":        (*merging).getAuthorFeed,
	"app.bsky.feed.getTimeline":          (*merging).getTimeline,
	"app.bsky.feed.getPostThread":        (*merging).getPostThread,
	"app.bsky.unspecced.getPostThreadV2": (*merging).getPostThreadV2,
}

// Methods are those whose answers are merged.
func Methods() []string { return slices.Sorted(maps.Keys(methods)) }

// Merge merges an answer. False: the answer stays as it is, because nothing in it changes, or because it is not what the
// method's lexicon says. An error says why something that should have been merged was not; the answer stays then, too.
func (c *Call) Merge(ctx context.Context, body []byte) (a Answer, merged bool, err error) {
	method := methods[c.Method]
	if method == nil || len(c.Changes) == 0 {
		return Answer{}, false, nil
	}
	doc, err := splice.Parse(body)
	if err != nil {
		return Answer{}, false, nil
	}
	m := &merging{Call: c, own: c.net(), doc: doc, docs: []*splice.Doc{doc}}
	defer m.close()
	defer func() {
		if r := recover(); r != nil {
			a, merged, err = Answer{}, false, fmt.Errorf("merge %s: %v", c.Method, r)
		}
	}()
	if err := method(m, ctx); err != nil {
		return Answer{}, false, fmt.Errorf("merge %s: %w", c.Method, err)
	}
	if !doc.Changed() {
		return Answer{}, false, nil
	}
	return Answer{Body: doc.Bytes(), Lag: c.lag()}, true, nil
}

// NotFound makes the answer that the app view could not give: to a call for a thread whose post it has not seen. False:
// the post is none of the account's new ones.
func (c *Call) NotFound(ctx context.Context) (a Answer, made bool, err error) {
	if len(c.Changes) == 0 {
		return Answer{}, false, nil
	}
	m := &merging{Call: c, own: c.net()}
	defer m.close()
	defer func() {
		if r := recover(); r != nil {
			a, made, err = Answer{}, false, fmt.Errorf("answer %s: %v", c.Method, r)
		}
	}()
	var body []byte
	switch c.Method {
	case "app.bsky.feed.getPostThread":
		body, err = m.threadOfNew(ctx)
	case "app.bsky.unspecced.getPostThreadV2":
		body, err = m.threadV2OfNew(ctx)
	}
	if err != nil {
		return Answer{}, false, fmt.Errorf("answer %s: %w", c.Method, err)
	}
	if body == nil {
		return Answer{}, false, nil
	}
	return Answer{Body: body, Lag: c.lag()}, true, nil
}

func (c *Call) lag() time.Duration {
	oldest := c.Changes[0].At
	for i := range c.Changes {
		if c.Changes[i].At.Before(oldest) {
			oldest = c.Changes[i].At
		}
	}
	return max(0, c.Now.Sub(oldest))
}

func (m *merging) close() {
	for _, d := range m.docs {
		d.Close()
	}
}

// read parses JSON that lives as long as the merging.
func (m *merging) read(text []byte) (splice.Value, error) {
	d, err := splice.Parse(text)
	if err != nil {
		return splice.Value{}, err
	}
	m.docs = append(m.docs, d)
	return d.Root(), nil
}

// number is an integer of the query, or what it is if it is not given.
func (c *Call) number(name string, absent int) int {
	if n, err := strconv.Atoi(c.Query.Get(name)); err == nil {
		return n
	}
	return absent
}
