package merge

import (
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/proxy/view"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// own is what all changes come to.
type own struct {
	profile     bool   // it changed
	profileIs   []byte // DAG-CBOR; nil: there is none any more
	posts       []*post
	byURI       map[string]*post
	likes       map[string]string // from what is liked to the like
	reposts     map[string]string
	follows     map[string]string
	gone        map[string]bool // URIs of deleted records
	morePosts   int64           // than before, or fewer
	moreFollows int64
}

// post is a new post of the account.
type post struct {
	uri, cid string
	at       time.Time
	json     []byte
	record   view.FeedPost
}

func (p *post) parent() string { return p.record.Reply().Parent().URI() }
func (p *post) root() string   { return p.record.Reply().Root().URI() }

// indexedAt is the time in the form that all views have it.
func indexedAt(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (c *Call) uri(path string) string { return "at://" + c.DID + "/" + path }

// state is what became of one record.
type state struct {
	last    *Change
	created bool // it was not there before the first change
}

// net folds the changes. Records that cannot be read are passed over: they make no views.
func (c *Call) net() *own {
	o := &own{byURI: map[string]*post{}, likes: map[string]string{}, reposts: map[string]string{}, follows: map[string]string{}, gone: map[string]bool{}}
	paths := make([]string, 0, len(c.Changes)) // in the order of their last change
	states := make(map[string]*state, len(c.Changes))
	for i := range c.Changes {
		ch := &c.Changes[i]
		if s := states[ch.Path]; s != nil {
			s.last = ch
			paths = append(slices.DeleteFunc(paths, func(p string) bool { return p == ch.Path }), ch.Path)
			continue
		}
		states[ch.Path] = &state{last: ch, created: ch.Created}
		paths = append(paths, ch.Path)
	}
	for _, path := range paths {
		s := states[path]
		collection, key, _ := strings.Cut(path, "/")
		made, lost := s.created && s.last.Record != nil, !s.created && s.last.Record == nil
		if s.last.Record == nil {
			o.gone[c.uri(path)] = true
		}
		switch collection {
		case collectionProfile:
			if key == "self" {
				o.profile, o.profileIs = true, s.last.Record
			}
		case collectionPost:
			o.morePosts += count(made, lost)
			if made {
				o.add(c, s.last)
			}
		case collectionLike:
			link(o.likes, c, s.last)
		case collectionRepost:
			link(o.reposts, c, s.last)
		case collectionFollow:
			o.moreFollows += count(made, lost)
			link(o.follows, c, s.last)
		}
	}
	return o
}

func count(made, lost bool) int64 {
	switch {
	case made:
		return 1
	case lost:
		return -1
	}
	return 0
}

func link(links map[string]string, c *Call, ch *Change) {
	if ch.Record != nil && ch.Subject != "" {
		links[ch.Subject] = c.uri(ch.Path)
	}
}

// add notes a new post. Its record is read when it is needed.
func (o *own) add(c *Call, ch *Change) {
	p := &post{uri: c.uri(ch.Path), cid: ch.CID, at: ch.At}
	var err error
	if p.json, err = dagcbor.ToJSON(nil, ch.Record); err != nil {
		return
	}
	o.posts = append(o.posts, p)
	o.byURI[p.uri] = p
}

// fresh are the new posts that are not in the answer and are what the lexicon says, newest first. What is in the answer
// must be known before (seen).
func (m *merging) fresh() []*post {
	if m.freshPosts != nil || len(m.own.posts) == 0 {
		return m.freshPosts
	}
	m.freshPosts, m.replies = []*post{}, map[string][]*post{}
	for _, p := range slices.Backward(m.own.posts) {
		if len(m.freshPosts) == MaxPosts {
			break
		}
		if !m.present[p.uri] && m.readable(p) {
			m.freshPosts = append(m.freshPosts, p)
		}
	}
	slices.SortStableFunc(m.freshPosts, func(a, b *post) int { return b.at.Compare(a.at) })
	for _, p := range m.freshPosts {
		if parent := p.parent(); parent != "" && !m.circular(p) {
			m.replies[parent] = append(m.replies[parent], p)
		}
	}
	return m.freshPosts
}

// circular tells whether a post answers itself, by way of others or not: records may claim that.
func (m *merging) circular(p *post) bool {
	up := p
	for range MaxPosts {
		parent := up.parent()
		if parent == p.uri {
			return true
		}
		if up = m.newPost(parent); up == nil {
			return false
		}
	}
	return true
}

// readable reads a post's record, once.
func (m *merging) readable(p *post) bool {
	if !p.record.Exists() {
		v, err := m.read(p.json)
		if err != nil {
			return false
		}
		p.record = view.FeedPost{Node: v}
	}
	return p.record.Fits()
}

// newPost is one of the new posts, or nil.
func (m *merging) newPost(uri string) *post {
	if p := m.own.byURI[uri]; p != nil && m.readable(p) {
		return p
	}
	return nil
}

// children are the fresh posts that answer another, newest first.
func (m *merging) children(uri string) []*post {
	m.fresh()
	return m.replies[uri]
}
