package client

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/outbound"
)

// How long documents are good for. A client may ask for less, not for more.
const (
	fresh       = 10 * time.Minute
	shortest    = time.Minute
	failedKept  = 30 * time.Second
	staleKept   = 24 * time.Hour // for who goes on with a session while the client's host is down
	fetchTime   = 10 * time.Second
	maxDocument = 512 << 10
	cacheBytes  = 32 << 20
	perHost     = 2 // fetches at once
	atOnce      = 64
)

// Config is what a store works with.
type Config struct {
	// HTTP is a client that outbound made: it reaches public addresses only, and follows nothing.
	HTTP *http.Client
	// Private says whether a host that is not public is allowed, port included; nil: none.
	Private func(host string) bool
	Now     func() time.Time
}

// Store fetches clients' documents and keys, and remembers them for a while. One serves all tenants: what it knows is
// public. It is safe for concurrent use.
type Store struct {
	cfg    Config
	flight singleflight.Group
	places *fair.Places

	mu    sync.Mutex
	kept  *cache.Cache[string, fetched]
	hosts map[string]*hostTurns // that are being asked
}

// fetched is what a URL gave.
type fetched struct {
	client *Client
	keys   []*jose.Key
	err    error // why there is nothing
	at     time.Time
	until  time.Time
}

// NewStore makes a store.
func NewStore(cfg Config) *Store {
	return &Store{
		cfg: cfg, kept: cache.New[string, fetched](cacheBytes, cfg.Now), hosts: map[string]*hostTurns{},
		places: fair.NewPlaces(atOnce, fair.Waiting{Time: fetchTime, First: 16, Whole: 256}),
	}
}

// Get is the client with an id, for a new request. from is who takes part: a tenant, an address.
// Errors: [ErrID], [ErrMetadata], [ErrRedirect], [ErrUnavailable].
func (s *Store) Get(ctx context.Context, from fair.Path, id string) (*Client, error) {
	return s.get(ctx, from, id, false)
}

// GetKnown is Get for who goes on with a session: while the client's host is out of reach, a document of the last day
// will do for a client without keys.
func (s *Store) GetKnown(ctx context.Context, from fair.Path, id string) (*Client, error) {
	return s.get(ctx, from, id, true)
}

func (s *Store) get(ctx context.Context, from fair.Path, id string, stale bool) (*Client, error) {
	if isDevelopment(id) {
		return development(id)
	}
	if err := CheckID(id, s.cfg.Private); err != nil {
		return nil, err
	}
	got := s.load(ctx, from, id, func(raw []byte) (f fetched, err error) {
		f.client, err = parse(id, raw, s.cfg.Private)
		return f, err
	})
	if got.err != nil && stale && errors.Is(got.err, ErrUnavailable) && got.client != nil && !got.client.Confidential && s.cfg.Now().Sub(got.at) < staleKept {
		return got.client, nil
	}
	if got.err != nil {
		return nil, got.err
	}
	return got.client, nil
}

// keys are the public keys of a confidential client. Errors: [ErrMetadata], [ErrUnavailable].
func (s *Store) keys(ctx context.Context, from fair.Path, c *Client, anew bool) ([]*jose.Key, error) {
	if c.KeysURL == "" {
		return c.Keys, nil
	}
	u, err := url.Parse(c.KeysURL)
	if err != nil || !isPublicName(u.Hostname()) && (s.cfg.Private == nil || !s.cfg.Private(u.Host)) {
		return nil, fmt.Errorf("%w: jwks_uri has no public host", ErrMetadata)
	}
	name := "jwks " + c.KeysURL
	if anew {
		s.forget(name)
	}
	got := s.load(ctx, from, name, func(raw []byte) (f fetched, err error) {
		if f.keys, err = jose.ParseSet(raw); err != nil {
			err = fmt.Errorf("%w: jwks: %w", ErrMetadata, err)
		}
		return f, err
	})
	return got.keys, keysError(got)
}

// keysError: keys that are old are no keys.
func keysError(got fetched) error {
	if got.err != nil {
		return got.err
	}
	if len(got.keys) == 0 {
		return fmt.Errorf("%w: its keys cannot be used", ErrMetadata)
	}
	return nil
}

// forget lets the next who asks fetch anew, unless it was fetched within the last minute.
func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.kept.Get(name); ok && s.cfg.Now().Sub(f.at) >= shortest {
		f.until = time.Time{}
		s.kept.Put("", name, f, f.bytes())
	}
}

// load gives what is remembered, or fetches it. One fetch serves all who wait for it. What was good before comes with
// the error when it cannot be had anew.
func (s *Store) load(ctx context.Context, from fair.Path, name string, read func([]byte) (fetched, error)) fetched {
	s.mu.Lock()
	had, ok := s.kept.Get(name)
	s.mu.Unlock()
	if ok && s.cfg.Now().Before(had.until) {
		return had
	}
	result := s.flight.DoChan(name, func() (any, error) {
		f := s.fetch(from, strings.TrimPrefix(name, "jwks "), read)
		if f.err != nil && errors.Is(f.err, ErrUnavailable) {
			f.client, f.at = had.client, had.at // perhaps stale
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kept.Put(scopeOf(from), name, f, f.bytes())
		return f, nil
	})
	select {
	case <-ctx.Done():
		return fetched{err: fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())}
	case r := <-result:
		return r.Val.(fetched)
	}
}

func scopeOf(from fair.Path) string {
	if len(from) == 0 {
		return ""
	}
	return from[0]
}

// bytes is about what it takes to remember it.
func (f *fetched) bytes() int64 {
	n := int64(512)
	if c := f.client; c != nil {
		n += int64(len(c.ID) + len(c.Name) + len(c.URI) + len(c.Logo) + len(c.TOS) + len(c.Policy) + len(c.Scope) + len(c.KeysURL) + 1000*len(c.Keys))
		for _, r := range c.Redirects {
			n += int64(len(r)) + 16
		}
	}
	return n + 1000*int64(len(f.keys))
}

func (s *Store) fetch(from fair.Path, address string, read func([]byte) (fetched, error)) fetched {
	now := s.cfg.Now()
	fail := func(err error) fetched { return fetched{err: err, at: now, until: now.Add(failedKept)} }
	u, err := url.Parse(address)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrID, err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	// The host's turn first: who waits for a slow host takes no place from the others.
	leave, ok := s.enterHost(ctx, u.Host)
	if !ok {
		return fetched{err: fmt.Errorf("%w: too much is being asked of %s", ErrUnavailable, u.Host)} // nothing that is remembered
	}
	defer leave()
	place, err := s.places.Take(ctx, from...)
	if err != nil {
		return fetched{err: fmt.Errorf("%w: too many are being fetched", ErrUnavailable)}
	}
	defer place.Release()
	raw, life, err := s.ask(ctx, address)
	if err != nil {
		return fail(err)
	}
	f, err := read(raw)
	if err != nil {
		return fail(err)
	}
	f.at, f.until = now, now.Add(life)
	return f
}

// ask does the one GET. Errors: [ErrMetadata] for an answer that is not what it should be, [ErrUnavailable].
func (s *Store) ask(ctx context.Context, address string) (raw []byte, life time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "aurora-locus")
	res, err := s.cfg.HTTP.Do(req)
	switch {
	case errors.Is(err, outbound.ErrUnsafeAddress):
		return nil, 0, fmt.Errorf("%w: %s is not at a public address", ErrMetadata, req.URL.Host)
	case err != nil:
		return nil, 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		kind := ErrMetadata
		if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
			kind = ErrUnavailable
		}
		return nil, 0, fmt.Errorf("%w: the answer has status %d, not 200", kind, res.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		_ = res.Body.Close()
		return nil, 0, fmt.Errorf("%w: its content type is %.100q, not application/json", ErrMetadata, res.Header.Get("Content-Type"))
	}
	raw, err = outbound.ReadBody(res, maxDocument)
	switch {
	case errors.Is(err, outbound.ErrTooBig):
		return nil, 0, fmt.Errorf("%w: it has more than %d bytes", ErrMetadata, maxDocument)
	case err != nil:
		return nil, 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return raw, lifeOf(res.Header.Get("Cache-Control")), nil
}

// lifeOf is how long an answer is good for by its Cache-Control: ten minutes at most, one at least.
func lifeOf(control string) time.Duration {
	for part := range strings.SplitSeq(strings.ToLower(control), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "no-store", "no-cache":
			return shortest
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil {
				return min(fresh, max(shortest, time.Duration(n)*time.Second))
			}
		}
	}
	return fresh
}

// hostTurns are the fetches of one host: those under way, and how many wait besides.
type hostTurns struct {
	turns chan struct{}
	users int
}

const hostWaiting = 16

// enterHost waits for a turn at a host; false: it does not come in time, or too many wait.
func (s *Store) enterHost(ctx context.Context, host string) (leave func(), ok bool) {
	s.mu.Lock()
	h := s.hosts[host]
	if h == nil {
		h = &hostTurns{turns: make(chan struct{}, perHost)}
		s.hosts[host] = h
	}
	if h.users >= perHost+hostWaiting {
		s.mu.Unlock()
		return nil, false
	}
	h.users++
	s.mu.Unlock()
	gone := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(s.hosts, host)
		}
	}
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns; gone() }, true
	case <-ctx.Done():
		gone()
		return nil, false
	}
}
