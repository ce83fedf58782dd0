package identity

import (
	"errors"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/cache"
)

// How long a resolved document is good for: fresh, then given out while a newer one is fetched, then dropped.
const (
	cacheFresh = time.Hour
	cacheMax   = 24 * time.Hour
	cacheRetry = time.Minute // between attempts to replace a document that is no longer fresh
	// failKept is how long it is remembered that a DID has no document, and awayKept that nobody could be asked for it.
	failKept = 10 * time.Second
	awayKept = 5 * time.Second
	// handleKept is how long it is remembered where a handle leads, or that it leads nowhere.
	handleKept = 30 * time.Second
)

// Bounds of what a resolver remembers, in bytes.
const (
	// DefaultCacheBytes is for documents, some 25,000 of them.
	DefaultCacheBytes = 48 << 20
	failBytes         = 4 << 20
	handleBytes       = 4 << 20
)

// docCache remembers documents with their age, and for a moment that there is none.
type docCache struct {
	mu    sync.Mutex
	docs  *cache.Cache[string, cachedDoc]
	fails *cache.Cache[string, failed]
}

type cachedDoc struct {
	doc     *Document
	scope   string
	fetched time.Time
	order   uint64
	tried   time.Time // when a newer one was last asked for
}

// failed is an answer without a document.
type failed struct {
	err   error
	until time.Time
}

func newDocCache(bytes int64, now func() time.Time) *docCache {
	return &docCache{docs: cache.New[string, cachedDoc](bytes, now), fails: cache.New[string, failed](failBytes, now)}
}

// within returns the document if it was fetched less than age ago.
func (c *docCache) within(did string, now time.Time, age time.Duration) *Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, ok := c.docs.Get(did)
	if !ok {
		return nil
	}
	if since := now.Sub(hit.fetched); since < 0 || since >= age {
		return nil
	}
	return hit.doc
}

// get returns nil when there is nothing usable, and whether the caller should fetch anew what it returns; or why there
// was no document a moment ago.
func (c *docCache) get(did string, now time.Time) (doc *Document, refetch bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, ok := c.docs.Get(did)
	if ok && now.Sub(hit.fetched) >= cacheMax {
		c.docs.Remove(did)
		ok = false
	}
	if !ok {
		if f, known := c.fails.Get(did); known && now.Before(f.until) {
			return nil, false, f.err
		}
		return nil, false, nil
	}
	if now.Sub(hit.fetched) < cacheFresh || now.Sub(hit.tried) < cacheRetry {
		return hit.doc, false, nil
	}
	hit.tried = now
	c.keep(did, hit)
	return hit.doc, true, nil
}

// put keeps a document. order rises with the fetches' beginnings: an answer that was overtaken by a newer one's is
// passed over.
func (c *docCache) put(scope, did string, doc *Document, now time.Time, order uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hit, ok := c.docs.Get(did); ok && hit.order > order {
		return
	}
	c.fails.Remove(did)
	c.keep(did, cachedDoc{doc: doc.kept(), scope: scope, fetched: now, order: order})
}

func (c *docCache) keep(did string, d cachedDoc) {
	const itself = 80
	c.docs.Put(d.scope, did, d, itself+d.doc.bytes())
}

// fail remembers that there was no document. An answer ends what was known: the old document is wrong now.
func (c *docCache) fail(scope, did string, err error, now time.Time) {
	kept, kind := failKept, error(nil)
	for _, sentinel := range []error{ErrDIDNotFound, ErrDIDTombstoned, ErrDocument, ErrDIDUnavailable} {
		if errors.Is(err, sentinel) {
			kind = sentinel
			break
		}
	}
	switch {
	case kind == nil:
		return // the text is wrong, and it costs nothing to say so again
	case errors.Is(kind, ErrDIDUnavailable):
		kept = awayKept
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(kind, ErrDIDNotFound) || errors.Is(kind, ErrDIDTombstoned) {
		c.docs.Remove(did)
	}
	// Its kind alone: the text of what went wrong may hold more than this.
	c.fails.Put(scope, did, failed{&remembered{did, kind}, now.Add(kept)}, int64(2*len(did))+96)
}

// remembered is a failure that is given again.
type remembered struct {
	did  string
	kind error
}

func (e *remembered) Error() string { return e.did + ": " + e.kind.Error() + " (a moment ago)" }
func (e *remembered) Unwrap() error { return e.kind }

// handleCache remembers for a moment where handles lead.
type handleCache struct {
	mu   sync.Mutex
	kept *cache.Cache[string, cachedHandle]
}

type cachedHandle struct {
	did   string // "": nowhere
	until time.Time
}

func newHandleCache(now func() time.Time) *handleCache {
	return &handleCache{kept: cache.New[string, cachedHandle](handleBytes, now)}
}

func (c *handleCache) get(handle string, now time.Time) (did string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, ok := c.kept.Get(handle)
	return hit.did, ok && now.Before(hit.until)
}

func (c *handleCache) put(scope, handle, did string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Put(scope, handle, cachedHandle{did, now.Add(handleKept)}, int64(len(handle)+len(did))+64)
}

func (c *docCache) stats() cache.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.docs.Stats()
}

func (c *handleCache) stats() cache.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.Stats()
}

// Stats say how the documents and handles that are remembered are used.
func (r *Resolver) Stats() (documents, handles cache.Stats) {
	return r.cache.stats(), r.handles.stats()
}
