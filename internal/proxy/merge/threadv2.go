package merge

import (
	"context"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/proxy/view"
)

// The second form of a thread is a list: the anchor at depth 0, what is above it at negative depths before it, what is
// below it behind it, each answer behind what it answers.

type threadItem = view.UnspeccedGetPostThreadV2ThreadItem

func (m *merging) getPostThreadV2(ctx context.Context) error {
	out := view.UnspeccedGetPostThreadV2{Node: m.doc.Root()}
	if !out.Fits() {
		return nil
	}
	items := out.Thread()
	m.present = map[string]bool{}
	var wanted []*post
	below := m.number("below", defaultDepth)
	for item := range items.Views {
		depth, _ := item.Depth()
		if _, none := view.AsUnspeccedThreadItemNotFound(item.Value()); none {
			if depth == 0 && items.Len() == 1 {
				return m.replaceAnchor(ctx, item)
			}
			continue
		}
		m.present[item.URI()] = true
	}
	for item := range items.Views {
		if depth, _ := item.Depth(); depth >= 0 {
			m.under(item.URI(), below-int(depth), &wanted)
		}
	}
	views, err := m.views(ctx, wanted)
	if err != nil {
		return err
	}
	cut := int64(1 << 30) // behind a deleted post all that is deeper goes
	var hangs []jsontext.Value
	for item := range items.Views {
		depth, _ := item.Depth()
		for _, h := range hangs {
			item.Before(h)
		}
		hangs = nil
		if depth > cut {
			item.Remove()
			continue
		}
		cut = 1 << 30
		post, ok := view.AsUnspeccedThreadItemPost(item.Value())
		switch {
		case !ok:
			continue
		case m.own.gone[item.URI()] && depth > 0:
			item.Remove()
			cut = depth
			continue
		case m.own.gone[item.URI()]:
			post.Replace(view.NewUnspeccedThreadItemNotFound{}.Typed())
			if depth == 0 {
				cut = 0
			}
			continue
		}
		m.post(post.Post())
		if depth >= 0 {
			op := post.OpThread() && post.Post().Author().DID() == m.DID
			hangs = m.itemsUnder(item.URI(), int(depth), below, op, views)
		}
	}
	for _, h := range hangs {
		items.Append(h)
	}
	return nil
}

// itemsUnder are the new posts that answer a post, each with those that answer it behind it.
func (m *merging) itemsUnder(uri string, depth, below int, op bool, views map[string]view.NewFeedPostView) (out []jsontext.Value) {
	if depth >= below {
		return nil
	}
	for _, p := range m.children(uri) {
		v, ok := views[p.uri]
		if !ok {
			continue
		}
		out = append(out, newItem(v, depth+1, op))
		out = append(out, m.itemsUnder(p.uri, depth+1, below, op, views)...)
	}
	return out
}

func newItem(v view.NewFeedPostView, depth int, op bool) jsontext.Value {
	return view.NewUnspeccedGetPostThreadV2ThreadItem{
		URI: v.URI, Depth: int64(depth), Value: view.NewUnspeccedThreadItemPost{Post: v, OpThread: op}.Typed(),
	}.JSON()
}

// replaceAnchor puts a new post and what belongs to it in the place of an anchor that the app view does not know.
func (m *merging) replaceAnchor(ctx context.Context, anchor threadItem) error {
	items, err := m.newThreadV2(ctx)
	if err != nil || items == nil {
		return err
	}
	for _, it := range items {
		anchor.Before(it)
	}
	anchor.Remove()
	return nil
}

func (m *merging) threadV2OfNew(ctx context.Context) ([]byte, error) {
	items, err := m.newThreadV2(ctx)
	if err != nil || items == nil {
		return nil, err
	}
	out := append([]byte(`{"thread":`), list(items)...)
	return append(out, `,"hasOtherReplies":false}`...), nil
}

// newThreadV2 are the items of a new post's thread, or nil.
func (m *merging) newThreadV2(ctx context.Context) ([]jsontext.Value, error) {
	p := m.asked("anchor")
	if p == nil {
		return nil, nil
	}
	below := m.number("below", defaultDepth)
	height := defaultHeight
	if m.Query.Get("above") == "false" {
		height = 0
	}
	above, first := m.above(p, height)
	wanted := append([]*post{p}, above...)
	m.under(p.uri, below, &wanted)
	views, err := m.views(ctx, wanted)
	if err != nil {
		return nil, err
	}
	var out []jsontext.Value
	op := p.parent() == ""
	if first != "" {
		var root bool
		out, root = m.askAbove(ctx, first, len(above)+1)
		op = root
	}
	for i := len(above) - 1; i >= 0; i-- {
		if above[i].parent() == "" {
			op = true
		}
		out = append(out, newItem(views[above[i].uri], -(i+1), op))
	}
	out = append(out, newItem(views[p.uri], 0, op))
	return append(out, m.itemsUnder(p.uri, 0, below, op, views)...), nil
}

// askAbove asks for a post and those above it, so many places higher than they come; op: the account wrote all of them.
func (m *merging) askAbove(ctx context.Context, uri string, higher int) (out []jsontext.Value, op bool) {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	body, err := m.Ask(ctx, "app.bsky.unspecced.getPostThreadV2", url.Values{"anchor": {uri}, "above": {"true"}, "below": {"0"}})
	if err != nil {
		return nil, false
	}
	v, err := m.read(body)
	answer := view.UnspeccedGetPostThreadV2{Node: v}
	if err != nil || !answer.Fits() {
		return nil, false
	}
	for item := range answer.Thread().Views {
		depth, _ := item.Depth()
		if depth > 0 {
			continue
		}
		post, ok := view.AsUnspeccedThreadItemPost(item.Value())
		op = ok && post.OpThread() && post.Post().Author().DID() == m.DID
		item.SetDepth(depth - int64(higher))
	}
	// The items are written with their new depths by the document that they are in.
	changed, err := m.read(m.docs[len(m.docs)-1].Bytes())
	if err != nil {
		return nil, false
	}
	for item := range (view.UnspeccedGetPostThreadV2{Node: changed}).Thread().Views {
		if depth, _ := item.Depth(); depth < 0 {
			out = append(out, item.Raw())
		}
	}
	return out, op
}
