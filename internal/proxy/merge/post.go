package merge

import (
	"context"
	"fmt"
	"net/url"
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

// ask finds the records that posts quote: posts all at once, feeds and lists one by one, the account's own new posts
// here. What cannot be asked for is left out of the post's view.
func (m *merging) ask(ctx context.Context, posts []*post) {
	if m.quotes == nil {
		m.quotes = map[string]*quote{}
	}
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	var uris []string
	var asking sync.WaitGroup
	singles := 0
	for _, p := range posts {
		uri := quoted(p.record.Embed())
		if uri == "" || m.quotes[uri] != nil {
			continue
		}
		q := new(quote)
		m.quotes[uri] = q
		collection := ""
		if parts := strings.Split(uri, "/"); len(parts) == 5 {
			collection = parts[3]
		}
		own := m.newPost(uri)
		switch {
		case own != nil:
			q.record = m.quoteOwn(own)
		case collection == collectionPost && len(uris) < 25:
			uris = append(uris, uri)
		case collection == "app.bsky.feed.generator" && singles < maxQuotes:
			singles++
			asking.Go(func() { q.record = m.askFeed(ctx, uri) })
		case collection == "app.bsky.graph.list" && singles < maxQuotes:
			singles++
			asking.Go(func() { q.record = m.askList(ctx, uri) })
		default:
			q.record = view.NewEmbedRecordViewNotFound{URI: uri, NotFound: true}.Typed()
		}
	}
	if len(uris) > 0 {
		m.askPosts(ctx, uris)
	}
	asking.Wait()
}

func (m *merging) askPosts(ctx context.Context, uris []string) {
	body, err := m.Ask(ctx, "app.bsky.feed.getPosts", url.Values{"uris": uris})
	if err != nil {
		return
	}
	v, err := m.read(body)
	out := view.FeedGetPosts{Node: v}
	if err != nil || !out.Fits() {
		return
	}
	for p := range out.Posts().Views {
		q := m.quotes[p.URI()]
		if q == nil {
			continue
		}
		record := view.NewEmbedRecordViewRecord{URI: p.URI(), CID: p.CID(), Author: p.Author().Raw(), Value: p.Record().Raw(), IndexedAt: p.IndexedAt()}
		for l := range p.Labels().All {
			record.Labels = append(record.Labels, l.Raw())
		}
		if e := p.Embed(); e.Exists() {
			record.Embeds = []jsontext.Value{e.Raw()}
		}
		q.record = record.Typed()
	}
	for _, uri := range uris {
		if q := m.quotes[uri]; q.record == nil {
			q.record = view.NewEmbedRecordViewNotFound{URI: uri, NotFound: true}.Typed()
		}
	}
}

// quoteOwn is a new post as another quotes it. What it quotes itself is not in it.
func (m *merging) quoteOwn(p *post) jsontext.Value {
	v := view.NewEmbedRecordViewRecord{URI: p.uri, CID: p.cid, Author: m.author.JSON(), Value: p.json, IndexedAt: indexedAt(p.at)}
	if e := m.media(p.record.Embed()); e != nil {
		v.Embeds = []jsontext.Value{e}
	}
	return v.Typed()
}

func (m *merging) askFeed(ctx context.Context, uri string) jsontext.Value {
	return m.askOne(ctx, "app.bsky.feed.getFeedGenerator", "feed", "view", uri, "app.bsky.feed.defs#generatorView", func(v splice.Value) bool {
		return view.FeedGeneratorView{Node: v}.Fits()
	})
}

func (m *merging) askList(ctx context.Context, uri string) jsontext.Value {
	return m.askOne(ctx, "app.bsky.graph.getList", "list", "list", uri, "app.bsky.graph.defs#listView", func(v splice.Value) bool {
		return view.GraphListView{Node: v}.Fits()
	})
}

// askOne asks for one record's view, which is a member of the answer, and gives it its $type.
func (m *merging) askOne(ctx context.Context, method, parameter, member, uri, typ string, fits func(splice.Value) bool) jsontext.Value {
	body, err := m.Ask(ctx, method, url.Values{parameter: {uri}})
	if err != nil {
		return nil
	}
	d, err := splice.Parse(body)
	if err != nil {
		return nil
	}
	defer d.Close()
	v := d.Root().Get(member)
	if !fits(v) {
		return nil
	}
	one, err := splice.Parse(v.Raw())
	if err != nil {
		return nil
	}
	defer one.Close()
	one.Root().Set("$type", splice.Quote(typ))
	return one.Bytes()
}
