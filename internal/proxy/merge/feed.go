package merge

import (
	"context"
	"slices"
	"time"

	"github.com/auroralocus/locus/internal/proxy/view"
)

type feed = view.List[view.FeedFeedViewPost]

func (m *merging) getTimeline(ctx context.Context) error {
	out := view.FeedGetTimeline{Node: m.doc.Root()}
	if !out.Fits() {
		return nil
	}
	return m.feed(ctx, out.Feed(), func(*post) bool { return true })
}

func (m *merging) getAuthorFeed(ctx context.Context) error {
	out := view.FeedGetAuthorFeed{Node: m.doc.Root()}
	if !out.Fits() {
		return nil
	}
	if !m.asks(m.Query.Get("actor")) {
		m.touchFeed(out.Feed(), nil)
		return nil
	}
	return m.feed(ctx, out.Feed(), m.filter())
}

func (m *merging) getActorLikes(context.Context) error {
	out := view.FeedGetActorLikes{Node: m.doc.Root()}
	if !out.Fits() {
		return nil
	}
	own := m.asks(m.Query.Get("actor"))
	m.touchFeed(out.Feed(), func(item view.FeedFeedViewPost) bool { return own && m.own.gone[item.Post().Viewer().Like()] })
	return nil
}

// filter is which of the account's posts its feed shows, by the parameter of this name.
func (m *merging) filter() func(*post) bool {
	switch m.Query.Get("filter") {
	case "posts_no_replies":
		return func(p *post) bool { return p.parent() == "" }
	case "posts_and_author_threads":
		mine := "at://" + m.DID + "/"
		return func(p *post) bool {
			return p.parent() == "" || len(p.root()) > len(mine) && p.root()[:len(mine)] == mine && len(p.parent()) > len(mine) && p.parent()[:len(mine)] == mine
		}
	case "posts_with_media":
		return func(p *post) bool {
			embed := p.record.Embed()
			if both, ok := view.AsEmbedRecordWithMedia(embed); ok {
				embed = both.Media()
			}
			_, ok := view.AsEmbedImages(embed)
			return ok
		}
	case "posts_with_video": // they have no view here
		return func(*post) bool { return false }
	}
	return func(*post) bool { return true }
}

// feed brings a feed up to date and puts new posts into it.
func (m *merging) feed(ctx context.Context, f feed, shown func(*post) bool) error {
	if len(m.own.posts) > 0 {
		m.present = map[string]bool{}
		for item := range f.Views {
			if !item.Reason().Exists() {
				m.present[item.Post().URI()] = true
			}
		}
	}
	m.touchFeed(f, m.undone)
	posts, places := m.places(f, shown)
	views, err := m.views(ctx, posts)
	if err != nil {
		return err
	}
	for i, p := range posts {
		item := view.NewFeedFeedViewPost{Post: views[p.uri]}.JSON()
		if places[i].Exists() {
			places[i].Before(item)
		} else {
			f.Append(item)
		}
	}
	return nil
}

// places are the posts that belong into a page of a feed, newest first, and before which item each comes; none: behind
// all. A page that is not the first ends at both sides: what is newer than all of it was on the page before.
func (m *merging) places(f feed, shown func(*post) bool) (posts []*post, before []view.Node) {
	type row struct {
		item view.Node
		at   time.Time
	}
	var rows []row
	for item := range f.Views {
		if _, pinned := view.AsFeedReasonPin(item.Reason()); !pinned {
			rows = append(rows, row{item.Node, sortedBy(item)})
		}
	}
	first := m.Query.Get("cursor") == ""
	for _, p := range m.fresh() {
		if !shown(p) {
			continue
		}
		i := slices.IndexFunc(rows, func(r row) bool { return r.at.Before(p.at) })
		switch {
		case i < 0 && len(rows) > 0, i <= 0 && !first:
			continue
		case i < 0:
			before = append(before, view.Node{})
		default:
			before = append(before, rows[i].item)
		}
		posts = append(posts, p)
	}
	return posts, before
}

// sortedBy is the time by which an item has its place in a feed.
func sortedBy(item view.FeedFeedViewPost) time.Time {
	at := item.Post().IndexedAt()
	if by, ok := view.AsFeedReasonRepost(item.Reason()); ok {
		at = by.IndexedAt()
	}
	t, _ := time.Parse(time.RFC3339Nano, at) // one that cannot be read is older than all
	return t
}

// touchFeed brings all posts of a feed up to date, and takes out what is gone: posts, and items that drop names.
func (m *merging) touchFeed(f feed, drop func(view.FeedFeedViewPost) bool) {
	for item := range f.Views {
		post := item.Post()
		if len(m.own.gone) > 0 && (m.own.gone[post.URI()] || drop != nil && drop(item)) {
			item.Remove()
			continue
		}
		m.post(post)
		if by, ok := view.AsFeedReasonRepost(item.Reason()); ok {
			m.profile(by.By())
		}
		for _, above := range []view.Node{item.Reply().Root(), item.Reply().Parent()} {
			if p, ok := view.AsFeedPostView(above); ok {
				m.postOrGone(p)
			}
		}
	}
}

// postOrGone brings a post up to date that others hang from: one that is deleted leaves its place empty.
func (m *merging) postOrGone(p view.FeedPostView) {
	if len(m.own.gone) > 0 {
		if uri := p.URI(); m.own.gone[uri] {
			p.Replace(notFound(uri))
			return
		}
	}
	m.post(p)
}

func notFound(uri string) []byte { return view.NewFeedNotFoundPost{URI: uri, NotFound: true}.Typed() }

// undone tells whether an item is a repost that the account has taken back.
func (m *merging) undone(item view.FeedFeedViewPost) bool {
	by, ok := view.AsFeedReasonRepost(item.Reason())
	if !ok || by.By().DID() != m.DID {
		return false
	}
	uri := by.URI()
	if uri == "" {
		uri = item.Post().Viewer().Repost()
	}
	return m.own.gone[uri]
}
