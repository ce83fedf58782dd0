package merge

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/proxy/view"
)

// What a call for a thread means when it does not say.
const (
	defaultDepth  = 6
	defaultHeight = 80
)

func (m *merging) getPostThread(ctx context.Context) error {
	out := view.FeedGetPostThread{Node: m.doc.Root()}
	if !out.Fits() {
		return nil
	}
	if none, ok := view.AsFeedNotFoundPost(out.Thread()); ok {
		if thread, err := m.newThread(ctx); err != nil || thread == nil {
			return err
		} else {
			none.Replace(thread)
		}
		return nil
	}
	anchor, ok := view.AsFeedThreadViewPost(out.Thread())
	if !ok {
		return nil
	}
	m.present = map[string]bool{}
	m.seen(anchor)
	var wanted []*post // all new posts that hang from this thread
	m.hanging(anchor, m.number("depth", defaultDepth), &wanted)
	views, err := m.views(ctx, wanted)
	if err != nil {
		return err
	}
	for above, ok := view.AsFeedThreadViewPost(anchor.Parent()); ok; above, ok = view.AsFeedThreadViewPost(above.Parent()) {
		if uri := above.Post().URI(); m.own.gone[uri] {
			above.Replace(notFound(uri))
			break
		}
		m.post(above.Post())
	}
	if uri := anchor.Post().URI(); m.own.gone[uri] {
		anchor.Replace(notFound(uri))
		return nil
	}
	m.thread(anchor, m.number("depth", defaultDepth), views)
	return nil
}

// seen notes the posts of a thread.
func (m *merging) seen(t view.FeedThreadViewPost) {
	m.present[t.Post().URI()] = true
	for above, ok := view.AsFeedThreadViewPost(t.Parent()); ok; above, ok = view.AsFeedThreadViewPost(above.Parent()) {
		m.present[above.Post().URI()] = true
	}
	for r := range t.Replies().All {
		if reply, ok := view.AsFeedThreadViewPost(r); ok {
			m.seen(reply)
		}
	}
}

// hanging adds the new posts under a post of the thread, as far down as it goes.
func (m *merging) hanging(t view.FeedThreadViewPost, depth int, to *[]*post) {
	if depth <= 0 || len(m.own.posts) == 0 {
		return
	}
	m.under(t.Post().URI(), depth, to)
	for r := range t.Replies().All {
		if reply, ok := view.AsFeedThreadViewPost(r); ok {
			m.hanging(reply, depth-1, to)
		}
	}
}

// under adds the new posts that answer a post, and those that answer these.
func (m *merging) under(uri string, depth int, to *[]*post) {
	if depth <= 0 {
		return
	}
	for _, p := range m.children(uri) {
		*to = append(*to, p)
		m.under(p.uri, depth-1, to)
	}
}

// thread brings a post of the thread and all below it up to date, and puts new answers in front of the others.
func (m *merging) thread(t view.FeedThreadViewPost, depth int, views map[string]view.NewFeedPostView) {
	m.post(t.Post())
	for r := range t.Replies().All {
		reply, ok := view.AsFeedThreadViewPost(r)
		switch {
		case !ok:
		case m.own.gone[reply.Post().URI()]:
			reply.Remove()
		default:
			m.thread(reply, depth-1, views)
		}
	}
	fresh := m.answers(t.Post().URI(), depth, views)
	if len(fresh) == 0 {
		return
	}
	if t.Replies().Kind() == '[' {
		for _, f := range fresh {
			t.Replies().Prepend(f)
		}
		return
	}
	t.Set("replies", list(fresh))
}

func list(items []jsontext.Value) []byte {
	out := []byte{'['}
	for i, it := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, it...)
	}
	return append(out, ']')
}

// answers are the new posts that answer a post, with what hangs from them.
func (m *merging) answers(uri string, depth int, views map[string]view.NewFeedPostView) (out []jsontext.Value) {
	if depth <= 0 {
		return nil
	}
	for _, p := range m.children(uri) {
		if v, ok := views[p.uri]; ok {
			out = append(out, view.NewFeedThreadViewPost{Post: v, Replies: m.answers(p.uri, depth-1, views)}.Typed())
		}
	}
	return out
}

// asked is the new post that a call for a thread names, by DID or handle; nil: it is none.
func (m *merging) asked(parameter string) *post {
	rest, ok := strings.CutPrefix(m.Query.Get(parameter), "at://")
	who, path, found := strings.Cut(rest, "/")
	if !ok || !found || !m.asks(who) {
		return nil
	}
	return m.newPost(m.uri(path))
}

// threadOfNew is the answer with the thread of a new post, or nil.
func (m *merging) threadOfNew(ctx context.Context) ([]byte, error) {
	thread, err := m.newThread(ctx)
	if err != nil || thread == nil {
		return nil, err
	}
	return view.NewFeedGetPostThread{Thread: thread}.JSON(), nil
}

func (m *merging) newThread(ctx context.Context) (jsontext.Value, error) {
	p := m.asked("uri")
	if p == nil {
		return nil, nil
	}
	depth, height := m.number("depth", defaultDepth), m.number("parentHeight", defaultHeight)
	above, first := m.above(p, height)
	wanted := append([]*post{p}, above...)
	m.under(p.uri, depth, &wanted)
	views, err := m.views(ctx, wanted)
	if err != nil {
		return nil, err
	}
	var parent jsontext.Value
	if first != "" {
		parent = m.askParents(ctx, first, height-len(above)-1)
	}
	for i := len(above) - 1; i >= 0; i-- {
		parent = view.NewFeedThreadViewPost{Post: views[above[i].uri], Parent: parent}.Typed()
	}
	return view.NewFeedThreadViewPost{Post: views[p.uri], Parent: parent, Replies: m.answers(p.uri, depth, views)}.Typed(), nil
}

// above are the new posts that a new post answers, from below to above, at most height of them, and the first above them
// that is not new: "" if there is none or the height is reached.
func (m *merging) above(p *post, height int) (posts []*post, first string) {
	been := map[string]bool{p.uri: true} // a post can claim to be its own ancestor
	for uri := p.parent(); uri != "" && len(posts) < height && !been[uri]; uri = posts[len(posts)-1].parent() {
		been[uri] = true
		next := m.newPost(uri)
		if next == nil {
			return posts, uri
		}
		posts = append(posts, next)
	}
	return posts, ""
}

// askParents asks for a post and those above it. A thread without what is above is better than none.
func (m *merging) askParents(ctx context.Context, uri string, height int) jsontext.Value {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	body, err := m.Ask(ctx, "app.bsky.feed.getPostThread", url.Values{
		"uri": {uri}, "depth": {"0"}, "parentHeight": {strconv.Itoa(max(0, height))},
	})
	if err != nil {
		return nil
	}
	v, err := m.read(body)
	out := view.FeedGetPostThread{Node: v}
	if err != nil || !out.Fits() {
		return nil
	}
	return out.Thread().Raw()
}
