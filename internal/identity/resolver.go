package identity

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/outbound"
	"golang.org/x/sync/singleflight"
)

// Limits of resolution.
const (
	resolveTimeout = 3 * time.Second
	maxDocument    = 64 << 10
	maxHandleBody  = 2 << 10 // a DID is at most 2,048 bytes
)

// ResolverConfig is what a [Resolver] needs.
type ResolverConfig struct {
	PLC  Directory
	HTTP *http.Client     // made by [outbound.New]
	DNS  *net.Resolver    // nil is the system's
	Now  func() time.Time // required
	Log  *slog.Logger     // told about failed background refreshes
	// CacheBytes bounds the documents kept; 0 means [DefaultCacheBytes].
	CacheBytes int64
	// DevHost, when set (127.0.0.1:2583), is for development: handles under .test and .localhost are asked there, over
	// plain http with the handle as Host, and did:web:localhost%3A<port> is allowed.
	DevHost string
}

// Asker is for whom something is looked up.
type Asker struct {
	// Scope is whose part of the memory the answer is kept in: a tenant.
	Scope string
	// Charge, if set, is asked before the network is; its error is given instead.
	Charge func() error
}

func (a Asker) charge() error {
	if a.Charge == nil {
		return nil
	}
	return a.Charge()
}

// Resolver looks up DIDs and handles. It is safe for concurrent use; one serves all tenants, because all it knows is
// public.
type Resolver struct {
	cfg     ResolverConfig
	cache   *docCache
	handles *handleCache
	web     *http.Client // HTTP, with redirects of handles' hosts
	flight  singleflight.Group
	order   atomic.Uint64   // of fetches
	ctx     context.Context // ends the background refreshes
	cancel  context.CancelFunc

	mu     sync.Mutex // orders wg.Add before Close's Wait
	closed bool
	wg     sync.WaitGroup
}

// NewResolver makes a resolver. Close it to end its background refreshes.
func NewResolver(cfg ResolverConfig) *Resolver {
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = DefaultCacheBytes
	}
	if cfg.DNS == nil {
		cfg.DNS = net.DefaultResolver
	}
	var web *http.Client
	if cfg.HTTP != nil {
		web = outbound.Following(cfg.HTTP, maxRedirects)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Resolver{
		cfg: cfg, cache: newDocCache(cfg.CacheBytes, cfg.Now), handles: newHandleCache(cfg.Now), web: web,
		ctx: ctx, cancel: cancel,
	}
}

// Close ends background refreshes and waits for them.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// Resolve returns the DID's document, of a large one what is used here. It may be up to an hour old; up to a day when
// the directory cannot be asked, or while it is being asked. That there was none is remembered for a moment. Errors:
// ErrDIDSyntax, ErrDIDMethod, ErrDIDNotFound, ErrDIDTombstoned, ErrDIDUnavailable, ErrDocument, and the asker's.
func (r *Resolver) Resolve(ctx context.Context, who Asker, did string) (*Document, error) {
	doc, stale, err := r.cache.get(did, r.cfg.Now())
	switch {
	case err != nil:
		return nil, err
	case doc == nil:
		return r.load(ctx, who, did)
	case stale:
		r.refreshBehind(who, did)
	}
	return doc, nil
}

// ResolveWhole is Resolve for who shows the document to others.
func (r *Resolver) ResolveWhole(ctx context.Context, who Asker, did string) (*Document, error) {
	doc, err := r.Resolve(ctx, who, did)
	if err != nil || doc.Whole() {
		return doc, err
	}
	return r.load(ctx, who, did)
}

// ResolveWithin is Resolve for who needs a document that was fetched less than age ago. When that cannot be had an
// older one does not do.
func (r *Resolver) ResolveWithin(ctx context.Context, who Asker, did string, age time.Duration) (*Document, error) {
	if doc := r.cache.within(did, r.cfg.Now(), age); doc != nil {
		return doc, nil
	}
	return r.load(ctx, who, did)
}

// Refresh fetches the document now, for callers that have reason to distrust the cached one: an operation was
// submitted, a signature did not verify. It never returns what was asked for before the call.
func (r *Resolver) Refresh(ctx context.Context, who Asker, did string) (*Document, error) {
	if err := who.charge(); err != nil {
		return nil, err
	}
	r.flight.Forget(did)
	return r.load(ctx, Asker{Scope: who.Scope}, did)
}

// load fetches the document, or waits for a fetch that is on its way. The fetch is not the first caller's alone: it
// goes on when that one leaves.
func (r *Resolver) load(ctx context.Context, who Asker, did string) (*Document, error) {
	if err := who.charge(); err != nil {
		return nil, err
	}
	result := r.flight.DoChan(did, func() (any, error) {
		if !r.enter() {
			return nil, fmt.Errorf("%s: %w: closing", did, ErrDIDUnavailable)
		}
		defer r.wg.Done()
		return r.fetch(who.Scope, did)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w: %w", did, ErrDIDUnavailable, ctx.Err())
	case res := <-result:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*Document), nil
	}
}

func (r *Resolver) refreshBehind(who Asker, did string) {
	if who.charge() != nil || !r.enter() {
		return
	}
	go func() {
		defer r.wg.Done()
		if _, err := r.load(r.ctx, Asker{Scope: who.Scope}, did); err != nil && r.ctx.Err() == nil && r.cfg.Log != nil {
			r.cfg.Log.Info("refresh of a DID document failed", "did", did, "err", err)
		}
	}()
}

// enter counts a running fetch; false when the resolver is closed.
func (r *Resolver) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

func (r *Resolver) fetch(scope, did string) (*Document, error) {
	ctx, cancel := context.WithTimeout(r.ctx, resolveTimeout)
	defer cancel()
	order := r.order.Add(1)
	doc, err := r.ask(ctx, did)
	if err != nil {
		r.cache.fail(scope, did, err, r.cfg.Now())
		return nil, err
	}
	r.cache.put(scope, did, doc, r.cfg.Now(), order)
	return doc, nil
}

func (r *Resolver) ask(ctx context.Context, did string) (*Document, error) {
	if err := ParseDID(did); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(did, "did:plc:"):
		if err := CheckPLC(did); err != nil {
			return nil, err
		}
		return r.cfg.PLC.Resolve(ctx, did)
	case strings.HasPrefix(did, "did:web:"):
		return r.askWeb(ctx, did)
	}
	return nil, fmt.Errorf("%s: %w", did, ErrDIDMethod)
}

func (r *Resolver) askWeb(ctx context.Context, did string) (*Document, error) {
	base, err := WebURL(did, r.cfg.DevHost != "")
	if err != nil {
		return nil, err
	}
	b, status, err := outbound.Fetch(ctx, r.cfg.HTTP, base+"/.well-known/did.json", "application/did+ld+json, application/json", maxDocument)
	switch {
	case err == nil:
		return ParseDocument(did, b)
	case status == http.StatusNotFound, status == http.StatusGone:
		return nil, fmt.Errorf("%s: %w", did, ErrDIDNotFound)
	}
	return nil, fmt.Errorf("%s: %w: %w", did, ErrDIDUnavailable, err)
}

// WebURL returns the URL of a did:web's host. atproto knows host-level ones only, without path or port; dev allows
// localhost (and names under it) with a port, over plain http.
// spec: did#blessed-did-methods
func WebURL(did string, dev bool) (string, error) {
	host, ok := strings.CutPrefix(did, "did:web:")
	if !ok || ParseDID(did) != nil {
		return "", fmt.Errorf("%w: not a did:web", ErrDIDSyntax)
	}
	bad := func() (string, error) {
		return "", fmt.Errorf("%w: a did:web is a host name without path or port", ErrDIDSyntax)
	}
	name, port, hasPort := cutPort(host)
	if dev && outbound.IsLocalhost(name) {
		if strings.ContainsAny(name, "%:[]") {
			return bad()
		}
		if !hasPort {
			return "http://" + name, nil
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '+' {
			return bad()
		}
		return "http://" + name + ":" + port, nil
	}
	if hasPort || outbound.IsLocalhost(name) {
		return bad()
	}
	if _, err := NormalizeHandle(name); err != nil { // the rules of a host name with a dot
		return bad()
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return bad()
	}
	return "https://" + name, nil
}

// cutPort splits a did:web's name at its escaped colon.
func cutPort(host string) (name, port string, ok bool) {
	if i := strings.Index(strings.ToUpper(host), "%3A"); i >= 0 {
		return host[:i], host[i+3:], true
	}
	return host, "", false
}

// IsService tells whether a DID may name a service: a did:plc, or a did:web that is a host name without a path.
// spec: did#blessed-did-methods
func IsService(did string) bool {
	if host, ok := strings.CutPrefix(did, "did:web:"); ok {
		name, port, hasPort := cutPort(host)
		_, err := NormalizeHandle(name)
		local := outbound.IsLocalhost(name) && !strings.ContainsAny(name, "%:")
		_, bad := strconv.ParseUint(port, 10, 16)
		return (err == nil || local) && (!hasPort || bad == nil)
	}
	return CheckPLC(did) == nil
}

// WebDID is the did:web of a host, port included (dev).
func WebDID(host string) string { return "did:web:" + strings.ReplaceAll(host, ":", "%3A") }
