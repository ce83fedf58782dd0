package identity

import (
	"context"
	"errors"
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
	HTTP *http.Client     // made by [NewHTTPClient]
	DNS  *net.Resolver    // nil is the system's
	Now  func() time.Time // required
	Log  *slog.Logger     // told about failed background refreshes
	// CacheSize is in documents; 0 means [DefaultCacheSize].
	CacheSize int
	// DevHost, when set (127.0.0.1:2583), is for development: handles under
	// .test and .localhost are asked there, over plain http with the handle as
	// Host, and did:web:localhost%3A<port> is allowed.
	DevHost string
}

// Resolver looks up DIDs and handles. It is safe for concurrent use; one serves
// all tenants, because all it knows is public.
type Resolver struct {
	cfg    ResolverConfig
	cache  *docCache
	flight singleflight.Group
	order  atomic.Uint64   // of fetches
	ctx    context.Context // ends the background refreshes
	cancel context.CancelFunc

	mu     sync.Mutex // orders wg.Add before Close's Wait
	closed bool
	wg     sync.WaitGroup
}

// NewResolver makes a resolver. Close it to end its background refreshes.
func NewResolver(cfg ResolverConfig) *Resolver {
	if cfg.CacheSize <= 0 {
		cfg.CacheSize = DefaultCacheSize
	}
	if cfg.DNS == nil {
		cfg.DNS = net.DefaultResolver
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Resolver{cfg: cfg, cache: newDocCache(cfg.CacheSize), ctx: ctx, cancel: cancel}
}

// Close ends background refreshes and waits for them.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// Resolve returns the DID's document. It may be up to an hour old; up to a day
// when the directory cannot be asked, or while it is being asked.
// Errors: ErrDIDSyntax, ErrDIDMethod, ErrDIDNotFound, ErrDIDTombstoned,
// ErrDIDUnavailable, ErrDocument.
func (r *Resolver) Resolve(ctx context.Context, did string) (*Document, error) {
	doc, stale := r.cache.get(did, r.cfg.Now())
	if doc == nil {
		return r.load(ctx, did)
	}
	if stale {
		r.refreshBehind(did)
	}
	return doc, nil
}

// ResolveWithin is Resolve for who needs a document that was fetched less than
// age ago. When that cannot be had an older one does not do.
func (r *Resolver) ResolveWithin(ctx context.Context, did string, age time.Duration) (*Document, error) {
	if doc := r.cache.within(did, r.cfg.Now(), age); doc != nil {
		return doc, nil
	}
	return r.load(ctx, did)
}

// Refresh fetches the document now, for callers that have reason to distrust
// the cached one: an operation was submitted, a signature did not verify. It
// never returns what was asked for before the call.
func (r *Resolver) Refresh(ctx context.Context, did string) (*Document, error) {
	r.flight.Forget(did)
	return r.load(ctx, did)
}

// load fetches the document, or waits for a fetch that is on its way. The fetch
// is not the first caller's alone: it goes on when that one leaves.
func (r *Resolver) load(ctx context.Context, did string) (*Document, error) {
	result := r.flight.DoChan(did, func() (any, error) {
		if !r.enter() {
			return nil, fmt.Errorf("%s: %w: closing", did, ErrDIDUnavailable)
		}
		defer r.wg.Done()
		return r.fetch(did)
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

func (r *Resolver) refreshBehind(did string) {
	if !r.enter() {
		return
	}
	go func() {
		defer r.wg.Done()
		if _, err := r.load(r.ctx, did); err != nil && r.ctx.Err() == nil && r.cfg.Log != nil {
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

func (r *Resolver) fetch(did string) (*Document, error) {
	ctx, cancel := context.WithTimeout(r.ctx, resolveTimeout)
	defer cancel()
	order := r.order.Add(1)
	doc, err := r.ask(ctx, did)
	switch {
	case err == nil:
		r.cache.put(did, doc, r.cfg.Now(), order)
	case errors.Is(err, ErrDIDNotFound), errors.Is(err, ErrDIDTombstoned):
		r.cache.remove(did) // an answer, not a failure: the old document is wrong now
	}
	return doc, err
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
	b, status, err := Fetch(ctx, r.cfg.HTTP, base+"/.well-known/did.json", "application/did+ld+json, application/json", maxDocument)
	switch {
	case err == nil:
		return ParseDocument(did, b)
	case status == http.StatusNotFound, status == http.StatusGone:
		return nil, fmt.Errorf("%s: %w", did, ErrDIDNotFound)
	}
	return nil, fmt.Errorf("%s: %w: %w", did, ErrDIDUnavailable, err)
}

// WebURL returns the URL of a did:web's host. atproto knows host-level ones
// only, without path or port; dev allows localhost (and names under it) with a
// port, over plain http.
// spec: did#blessed-did-methods
func WebURL(did string, dev bool) (string, error) {
	host, ok := strings.CutPrefix(did, "did:web:")
	if !ok || ParseDID(did) != nil {
		return "", fmt.Errorf("%w: not a did:web", ErrDIDSyntax)
	}
	bad := func() (string, error) {
		return "", fmt.Errorf("%w: a did:web is a host name without path or port", ErrDIDSyntax)
	}
	name, port, hasPort := strings.Cut(host, "%3A")
	if dev && isLocalhost(name) {
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
	if hasPort || isLocalhost(name) {
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

// IsService tells whether a DID may name a service: a did:plc, or a did:web that is a host name without a path.
// spec: did#blessed-did-methods
func IsService(did string) bool {
	if host, ok := strings.CutPrefix(did, "did:web:"); ok {
		name, port, hasPort := strings.Cut(host, "%3A")
		_, err := NormalizeHandle(name)
		local := isLocalhost(name) && !strings.ContainsAny(name, "%:")
		_, bad := strconv.ParseUint(port, 10, 16)
		return (err == nil || local) && (!hasPort || bad == nil)
	}
	return CheckPLC(did) == nil
}

// WebDID is the did:web of a host, port included (dev).
func WebDID(host string) string { return "did:web:" + strings.ReplaceAll(host, ":", "%3A") }

// ResolveHandle finds the DID a handle leads to, asking DNS and the host itself
// at once; DNS has precedence. Nothing is cached.
// Errors: ErrHandleSyntax, ErrHandleNotFound.
// spec: handle#handle-resolution
func (r *Resolver) ResolveHandle(ctx context.Context, handle string) (string, error) {
	h, err := NormalizeHandle(handle)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if r.devHandle(h) {
		return r.handleByHTTP(ctx, h)
	}
	type answer struct {
		did string
		err error
	}
	web := make(chan answer, 1)
	go func() {
		did, err := r.handleByHTTP(ctx, h)
		web <- answer{did, err}
	}()
	did, dnsErr := r.handleByDNS(ctx, h)
	if dnsErr == nil {
		cancel()
		<-web // nothing of this call outlives it
		return did, nil
	}
	a := <-web
	if a.err != nil {
		return "", fmt.Errorf("%s: %w", h, errors.Join(dnsErr, a.err))
	}
	return a.did, nil
}

func (r *Resolver) devHandle(h string) bool {
	return r.cfg.DevHost != "" && (strings.HasSuffix(h, ".test") || strings.HasSuffix(h, ".localhost"))
}

func (r *Resolver) handleByDNS(ctx context.Context, h string) (string, error) {
	// The final dot keeps the machine's search domains out of it.
	records, err := r.cfg.DNS.LookupTXT(ctx, "_atproto."+h+".")
	if err != nil {
		return "", fmt.Errorf("%w: DNS: %w", ErrHandleNotFound, err)
	}
	return parseHandleTXT(records)
}

func (r *Resolver) handleByHTTP(ctx context.Context, h string) (string, error) {
	const path = "/.well-known/atproto-did"
	url := "https://" + h + path
	if r.devHandle(h) {
		url = "http://" + r.cfg.DevHost + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHandleNotFound, err)
	}
	req.Host = h
	body, _, err := do(r.cfg.HTTP, req, "text/plain", maxHandleBody)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHandleNotFound, err)
	}
	return parseHandleAnswer(body)
}

// VerifyHandle says whether the handle leads to the DID and the DID's document
// names the handle. lookup finds handles the caller answers for itself (a
// tenant's own); nil, or an ErrHandleNotFound from it, means the network.
// Errors: ErrHandleMismatch, and those of the two look-ups.
// spec: handle#handle-resolution
func (r *Resolver) VerifyHandle(ctx context.Context, handle, did string, lookup func(context.Context, string) (string, error)) error {
	h, err := NormalizeHandle(handle)
	if err != nil {
		return err
	}
	doc, err := r.Resolve(ctx, did)
	if err != nil {
		return err
	}
	if doc.Handle() != h {
		return fmt.Errorf("%w: the document of %s does not name %s", ErrHandleMismatch, did, h)
	}
	got, err := "", ErrHandleNotFound
	if lookup != nil {
		got, err = lookup(ctx, h)
	}
	if errors.Is(err, ErrHandleNotFound) {
		got, err = r.ResolveHandle(ctx, h)
	}
	if err != nil {
		return err
	}
	if got != did {
		return fmt.Errorf("%w: %s leads elsewhere", ErrHandleMismatch, h)
	}
	return nil
}

// VerifiedHandle returns the handle of a DID when both point at each other, and
// "handle.invalid" when they do not or the handle cannot be looked up.
func (r *Resolver) VerifiedHandle(ctx context.Context, doc *Document) string {
	h := doc.Handle()
	if h == "" {
		return HandleInvalid
	}
	if did, err := r.ResolveHandle(ctx, h); err != nil || did != doc.ID {
		return HandleInvalid
	}
	return h
}

// HandleInvalid stands for a handle that does not verify.
const HandleInvalid = "handle.invalid"
