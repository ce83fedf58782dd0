package merge

import (
	"strconv"
	"strings"

	"github.com/auroralocus/locus/internal/proxy/view"
	"github.com/auroralocus/locus/internal/splice"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// post brings a view of a post up to date: what the viewer did with it, how many did, and who wrote it.
func (m *merging) post(v view.FeedPostView) {
	m.profile(v.Author())
	o := m.own
	if len(o.likes) == 0 && len(o.reposts) == 0 && len(o.gone) == 0 && len(o.posts) == 0 {
		return
	}
	uri := v.URI()
	viewer := v.Viewer()
	var added view.NewFeedViewerState
	change(m, viewer.Node, "like", o.likes[uri], &added.Like, func(by int64) { addTo(v.Node, "likeCount", by) })
	change(m, viewer.Node, "repost", o.reposts[uri], &added.Repost, func(by int64) { addTo(v.Node, "repostCount", by) })
	if added.Like != "" || added.Repost != "" {
		v.Set("viewer", added.JSON())
	}
	addTo(v.Node, "replyCount", int64(len(m.children(uri))))
}

// change sets or takes away one record of the viewer's state. When there is no state yet the record goes into added.
func change(m *merging, viewer view.Node, name, is string, added *string, counted func(by int64)) {
	was := viewer.Get(name)
	switch {
	case is != "" && was.Kind() != '"':
		if viewer.Kind() == '{' {
			viewer.Set(name, splice.Quote(is))
		} else {
			*added = is
		}
		counted(1)
	case is != "": // it has this one, or one that was deleted: the new one stands
		if m.own.gone[was.Text()] {
			viewer.Set(name, splice.Quote(is))
		}
	case was.Kind() == '"' && len(m.own.gone) > 0 && m.own.gone[was.Text()]:
		viewer.Set(name, nil)
		counted(-1)
	}
}

// addTo changes a count that the view has.
func addTo(v view.Node, name string, by int64) {
	if n, ok := v.Get(name).Int(); ok && by != 0 {
		v.Set(name, strconv.AppendInt(nil, max(0, n+by), 10))
	}
}

// profile brings the small view of a profile up to date, and the larger ones as far as they have the same members.
func (m *merging) profile(v view.ActorProfileViewBasic) {
	o := m.own
	if !o.profile && len(o.follows) == 0 && len(o.gone) == 0 {
		return
	}
	did := v.DID()
	if did == m.DID {
		if o.profile {
			m.setProfile(v.Node, "avatar")
		}
		return
	}
	m.following(v.Node, did)
}

// following brings the viewer's follow up to date: 1 if there is one more than the view has, -1 if there is one less.
func (m *merging) following(v view.Node, did string) (more int64) {
	viewer := v.Get("viewer")
	var added view.NewActorViewerState
	change(m, viewer, "following", m.own.follows[did], &added.Following, func(by int64) { more = by })
	if added.Following != "" {
		v.Set("viewer", added.JSON())
	}
	return more
}

// setProfile puts the profile record's members in the place of a view's. What the record does not have goes.
func (m *merging) setProfile(v view.Node, pictures ...string) {
	var record view.ActorProfile
	if m.own.profileIs != nil {
		text, err := dagcbor.ToJSON(nil, m.own.profileIs)
		if err != nil {
			return
		}
		value, err := m.read(text)
		if err != nil {
			return
		}
		if record = (view.ActorProfile{Node: value}); !record.Fits() {
			return
		}
	}
	texts := []string{"displayName", "pronouns"}
	if len(pictures) > 1 { // a whole profile
		texts = append(texts, "description", "website")
		set(v, "pinnedPost", record.PinnedPost().Raw())
	}
	for _, name := range texts {
		set(v, name, record.Get(name).Raw())
	}
	for _, name := range pictures {
		if cid := blobCID(record.Get(name)); cid != "" {
			set(v, name, splice.Quote(m.Image(name, cid)))
		} else {
			set(v, name, nil)
		}
	}
}

// set changes a member, if it is another now.
func set(v view.Node, name string, to []byte) {
	if was := v.Get(name); was.Exists() == (to != nil) && string(was.Raw()) == string(to) {
		return
	}
	v.Set(name, to)
}

// blobCID is the CID of a record's file, in the old form as well.
func blobCID(blob splice.Value) string {
	if link := blob.Get("ref").Get("$link").Text(); link != "" {
		return link
	}
	return blob.Get("cid").Text()
}

// asks tells whether an actor, as calls name one, is who asks.
func (c *Call) asks(actor string) bool {
	return actor == c.DID || c.Handle != "" && strings.EqualFold(actor, c.Handle)
}
