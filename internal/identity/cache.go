package identity

import (
	"container/list"
	"sync"
	"time"
)

// How long a resolved document is good for: fresh, then given out while a newer
// one is fetched, then dropped.
const (
	cacheFresh = time.Hour
	cacheMax   = 24 * time.Hour
	cacheRetry = time.Minute // between attempts to replace a document that is no longer fresh
	// DefaultCacheSize is how many documents a resolver keeps (about 2 KB each).
	DefaultCacheSize = 20000
)

// docCache is a least-recently-used map of documents with their age.
type docCache struct {
	mu    sync.Mutex
	max   int
	order *list.List // of *cachedDoc, most recent first
	byDID map[string]*list.Element
}

type cachedDoc struct {
	did     string
	doc     *Document
	fetched time.Time
	order   uint64
	tried   time.Time // when a newer one was last asked for
}

func newDocCache(n int) *docCache {
	return &docCache{max: n, order: list.New(), byDID: make(map[string]*list.Element)}
}

// within returns the document if it was fetched less than age ago.
func (c *docCache) within(did string, now time.Time, age time.Duration) *Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byDID[did]
	if !ok {
		return nil
	}
	hit := e.Value.(*cachedDoc)
	if since := now.Sub(hit.fetched); since < 0 || since >= age {
		return nil
	}
	c.order.MoveToFront(e)
	return hit.doc
}

// get returns nil when there is nothing usable, and whether the caller should
// fetch anew what it returns.
func (c *docCache) get(did string, now time.Time) (doc *Document, refetch bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byDID[did]
	if !ok {
		return nil, false
	}
	hit := e.Value.(*cachedDoc)
	age := now.Sub(hit.fetched)
	if age >= cacheMax {
		c.order.Remove(e)
		delete(c.byDID, did)
		return nil, false
	}
	c.order.MoveToFront(e)
	if age < cacheFresh || now.Sub(hit.tried) < cacheRetry {
		return hit.doc, false
	}
	hit.tried = now
	return hit.doc, true
}

// put keeps a document. order rises with the fetches' beginnings: an answer that
// was overtaken by a newer one's is passed over.
func (c *docCache) put(did string, doc *Document, now time.Time, order uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := &cachedDoc{did: did, doc: doc, fetched: now, order: order}
	if e, ok := c.byDID[did]; ok {
		if e.Value.(*cachedDoc).order > order {
			return
		}
		e.Value = entry
		c.order.MoveToFront(e)
		return
	}
	c.byDID[did] = c.order.PushFront(entry)
	for c.order.Len() > c.max {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byDID, last.Value.(*cachedDoc).did)
	}
}

func (c *docCache) remove(did string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byDID[did]; ok {
		c.order.Remove(e)
		delete(c.byDID, did)
	}
}
