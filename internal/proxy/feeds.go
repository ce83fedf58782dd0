package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// feedFresh is how long it is remembered which service makes a feed.
	feedFresh  = time.Minute
	feedsBytes = 2 << 20
	// maxRecord is the largest answer with a feed's record.
	maxRecord = 256 << 10

	methodGetRecord = "com.atproto.repo.getRecord"
	// MethodFeedSkeleton is what an app view asks a feed's own service, in the caller's name.
	MethodFeedSkeleton = "app.bsky.feed.getFeedSkeleton"
	serviceFeed        = "bsky_fg"
)

// feeds remembers which services make feeds.
type feeds struct {
	now func() time.Time

	mu   sync.Mutex
	kept *cache.Cache[feedKey, feedAt]
}

type feedKey struct {
	schema     db.Schema
	host, feed string
}

type feedAt struct {
	did  string
	read time.Time
}

func newFeeds(now func() time.Time) *feeds {
	return &feeds{now: now, kept: cache.New[feedKey, feedAt](feedsBytes, now)}
}

// FeedGrant is what the token of a call of getFeed allows: to ask the service that makes the feed, which the app view
// calls with it. The feed's record is asked of the tenant's app view, or of the target where the tenant has none.
// Errors: [ErrUnknownFeed], and those of [Proxy.Do].
func (p *Proxy) FeedGrant(ctx context.Context, caller Caller, target Target, feed string) (*Grant, error) {
	if view, ok := p.AppView(caller.Tenant); ok {
		target = view
	}
	key := feedKey{caller.Tenant.Schema, target.URL.Host, feed}
	p.feeds.mu.Lock()
	hit, ok := p.feeds.kept.Get(key)
	p.feeds.mu.Unlock()
	now := p.feeds.now()
	if age := now.Sub(hit.read); !ok || age < 0 || age >= feedFresh {
		did, err := p.feedService(ctx, caller, target, feed)
		if err != nil {
			return nil, err
		}
		hit = feedAt{did, now}
		p.feeds.mu.Lock()
		p.feeds.kept.Put(key.schema.String(), key, hit, int64(len(key.host)+len(feed)+len(did)))
		p.feeds.mu.Unlock()
	}
	return &Grant{Service: tenant.Service{DID: hit.did, ID: serviceFeed}, NSID: MethodFeedSkeleton}, nil
}

func (p *Proxy) feedService(ctx context.Context, caller Caller, target Target, feed string) (string, error) {
	parts := strings.Split(strings.TrimPrefix(feed, "at://"), "/")
	if len(parts) != 3 {
		return "", fmt.Errorf("%w: %.300q", ErrUnknownFeed, feed)
	}
	query := url.Values{"repo": {parts[0]}, "collection": {parts[1]}, "rkey": {parts[2]}}
	answer, err := p.Do(ctx, &Call{Caller: caller, Target: target, NSID: methodGetRecord, Method: http.MethodGet, Query: query.Encode(), Nameless: true})
	var refused *UpstreamError
	if errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
		return "", fmt.Errorf("%w: %w", ErrUnknownFeed, err)
	}
	if err != nil {
		return "", err
	}
	text, err := answer.ReadAll(maxRecord)
	if err != nil {
		return "", err
	}
	var record struct {
		Value struct {
			DID jsontext.Value `json:"did"`
		} `json:"value"`
	}
	if err := json.Unmarshal(text, &record, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnknownFeed, err)
	}
	did := textOf(record.Value.DID)
	if identity.ParseDID(did) != nil {
		return "", fmt.Errorf("%w: its record names no service", ErrUnknownFeed)
	}
	return did, nil
}
