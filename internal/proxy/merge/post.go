package merge

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/proxy/view"
	"github.com/auroralocus/locus/internal/splice"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// quote is a record that new posts quote.
type quote struct {
	record jsontext.Value // its view with $type; nil: nobody could be asked
}

// views are the views of new posts, by URI.
func (m *merging) views(ctx context.Context, posts []*post) (map[string]view.NewFeedPostView, error) {
	if len(posts) == 0 {
		return nil, nil
	}
	if m.author == nil {
		author, err := m.self(ctx)
		if err != nil {
			return nil, err
		}
		m.author = author
	}
	m.ask(ctx, posts)
	out := make(map[string]view.NewFeedPostView, len(posts))
	for _, p := range posts {
		out[p.uri] = m.view(p)
	}
	return out, nil
}

// self is the account as the author of its posts.
func (m *merging) self(ctx context.Context) (*view.NewActorProfileViewBasic, error) {
	a := &view.NewActorProfileViewBasic{DID: m.DID, Handle: m.Handle}
	if a.Handle == "" {
		a.Handle = "handle.invalid"
	}
	cbor := m.own.profileIs
	if !m.own.profile {
		var err error
		if cbor, err = m.Profile(ctx); err != nil {
			return nil, fmt.Errorf("read the profile: %w", err)
		}
	}
	if cbor == nil {
		return a, nil
	}
	text, err := dagcbor.ToJSON(nil, cbor)
	if err != nil {
		return a, nil
	}
	v, err := m.read(text)
	record := view.ActorProfile{Node: v}
	if err != nil || !record.Fits() {
		return a, nil
	}
	a.DisplayName, a.Pronouns = record.DisplayName(), record.Pronouns()
	if cid := blobCID(record.Avatar()); cid != "" {
		a.Avatar = m.Image("avatar", cid)
	}
	return a, nil
}

func (m *merging) view(p *post) view.NewFeedPostView {
	none, replies := int64(0), int64(len(m.children(p.uri)))
	return view.NewFeedPostView{
		URI: p.uri, CID: p.cid, Author: *m.author, Record: p.json, Embed: m.embed(p.record.Embed()),
		ReplyCount: &replies, RepostCount: &none, LikeCount: &none, QuoteCount: &none, IndexedAt: indexedAt(p.at),
	}
}

// embed is the view of what a post has with it, or nil: of videos, galleries and what is not known there is none here.
func (m *merging) embed(e splice.Value) jsontext.Value {
	if v := m.media(e); v != nil {
		return v
	}
	if r, ok := view.AsEmbedRecord(e); ok && r.Fits() {
		if q := m.quotes[r.Record().URI()]; q != nil && q.record != nil {
			return view.NewEmbedRecordView{Record: q.record}.Typed()
		}
	}
	if r, ok := view.AsEmbedRecordWithMedia(e); ok && r.Fits() {
		media := m.media(r.Media())
		if q := m.quotes[r.Record().Record().URI()]; q != nil && q.record != nil && media != nil {
			return view.NewEmbedRecordWithMediaView{Record: view.NewEmbedRecordView{Record: q.record}, Media: media}.Typed()
		}
	}
	return nil
}

func (m *merging) media(e splice.Value) jsontext.Value {
	if images, ok := view.AsEmbedImages(e); ok && images.Fits() {
		var out view.NewEmbedImagesView
		for img := range images.Images().Views {
			cid := blobCID(img.Image())
			out.Images = append(out.Images, view.NewEmbedImagesViewImage{
				Thumb: m.Image("feed_thumbnail", cid), Fullsize: m.Image("feed_fullsize", cid), Alt: img.Alt(), AspectRatio: img.AspectRatio().Raw(),
			})
		}
		return out.Typed()
	}
	if link, ok := view.AsEmbedExternal(e); ok && link.Fits() {
		x := link.External()
		out := view.NewEmbedExternalViewExternal{URI: x.URI(), Title: x.Title(), Description: x.Description()}
		if cid := blobCID(x.Thumb()); cid != "" {
			out.Thumb = m.Image("feed_thumbnail", cid)
		}
		return view.NewEmbedExternalView{External: out}.Typed()
	}
	return nil
}

// quoted is the record that a post quotes, or "".
func quoted(e splice.Value) string {
	if r, ok := view.AsEmbedRecord(e); ok {
		return r.Record().URI()
	}
	if r, ok := view.AsEmbedRecordWithMedia(e); ok {
		return r.Record().Record().URI()
	}
	return ""
}

// asking is one question to the app view: about posts, or about a feed or a list.
type asking struct {
	method, parameter string
	uris              []string
	body              []byte
	err               error
}

// ask finds the records that posts quote: posts all at once, feeds and lists one by one, the account's own new posts
// here. What cannot be asked for is left out of the post's view.
func (m *merging) ask(ctx context.Context, posts []*post) {
	if m.quotes == nil {
		m.quotes = map[string]*quote{}
	}
	inPosts := &asking{method: "app.bsky.feed.getPosts", parameter: "uris"}
	var questions []*asking
	for _, p := range posts {
		uri := quoted(p.record.Embed())
		if uri == "" || m.quotes[uri] != nil {
			continue
		}
		q := new(quote)
		m.quotes[uri] = q
		own := m.newPost(uri)
		switch collection := collectionOf(uri); {
		case own != nil:
			q.record = m.quoteOwn(own)
		case collection == collectionPost && len(inPosts.uris) < 25:
			inPosts.uris = append(inPosts.uris, uri)
		case collection == "app.bsky.feed.generator" && len(questions) < maxQuotes:
			questions = append(questions, &asking{method: "app.bsky.feed.getFeedGenerator", parameter: "feed", uris: []string{uri}})
		case collection == "app.bsky.graph.list" && len(questions) < maxQuotes:
			questions = append(questions, &asking{method: "app.bsky.graph.getList", parameter: "list", uris: []string{uri}})
		case collection == collectionPost, collection == "app.bsky.feed.generator", collection == "app.bsky.graph.list": // too many
		default:
			q.record = view.NewEmbedRecordViewNotFound{URI: uri, NotFound: true}.Typed()
		}
	}
	if len(inPosts.uris) > 0 {
		questions = append(questions, inPosts)
	}
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	var all sync.WaitGroup
	for _, a := range questions {
		all.Go(func() { a.body, a.err = m.Ask(ctx, a.method, url.Values{a.parameter: a.uris}) })
	}
	all.Wait()
	for _, a := range questions {
		if a.err == nil {
			m.answered(a)
		}
	}
}

func collectionOf(uri string) string {
	if parts := strings.Split(uri, "/"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

// answered takes the views of quoted records out of an answer.
func (m *merging) answered(a *asking) {
	v, err := m.read(a.body)
	if err != nil {
		return
	}
	switch a.parameter {
	case "uris":
		m.postsAnswered(a, view.FeedGetPosts{Node: v})
	case "feed":
		if out := (view.FeedGetFeedGenerator{Node: v}); out.View().Fits() {
			m.quotes[a.uris[0]].record = typed(out.View().Raw(), "app.bsky.feed.defs#generatorView")
		}
	case "list":
		if out := (view.GraphGetList{Node: v}); out.List().Fits() {
			m.quotes[a.uris[0]].record = typed(out.List().Raw(), "app.bsky.graph.defs#listView")
		}
	}
}

func (m *merging) postsAnswered(a *asking, out view.FeedGetPosts) {
	if !out.Fits() {
		return
	}
	for p := range out.Posts().Views {
		uri := p.URI()
		if !slices.Contains(a.uris, uri) {
			continue
		}
		record := view.NewEmbedRecordViewRecord{URI: uri, CID: p.CID(), Author: p.Author().Raw(), Value: p.Record().Raw(), IndexedAt: p.IndexedAt()}
		for l := range p.Labels().All {
			record.Labels = append(record.Labels, l.Raw())
		}
		if e := p.Embed(); e.Exists() {
			record.Embeds = []jsontext.Value{e.Raw()}
		}
		m.quotes[uri].record = record.Typed()
	}
	for _, uri := range a.uris {
		if q := m.quotes[uri]; q.record == nil {
			q.record = view.NewEmbedRecordViewNotFound{URI: uri, NotFound: true}.Typed()
		}
	}
}

// typed gives a view its $type.
func typed(object []byte, typ string) jsontext.Value {
	d, err := splice.Parse(object)
	if err != nil {
		return nil
	}
	defer d.Close()
	d.Root().Set("$type", splice.Quote(typ))
	return d.Bytes()
}

// quoteOwn is a new post as another quotes it. What it quotes itself is not in it.
func (m *merging) quoteOwn(p *post) jsontext.Value {
	v := view.NewEmbedRecordViewRecord{URI: p.uri, CID: p.cid, Author: m.author.JSON(), Value: p.json, IndexedAt: indexedAt(p.at)}
	if e := m.media(p.record.Embed()); e != nil {
		v.Embeds = []jsontext.Value{e}
	}
	return v.Typed()
}
