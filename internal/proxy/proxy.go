// Package proxy calls other services in an account's name.
//
// A face hands it a [Call]: who calls, which service, what of the request is to be sent. It signs a token with the
// account's key, sends exactly the headers that are in its lists, and gives an [Answer] to be passed on as it comes in.
// It knows neither sessions nor how errors look to a client.
//
// What a call takes is bounded three times: by account, by tenant and host, and for the whole process. A host that does
// not answer is left alone for a while, for the tenant whose callers found out.
package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// Errors of this package, beside [UpstreamError].
var (
	// ErrNoService: neither the tenant nor the deployment names a service for the method.
	ErrNoService = errors.New("no service configured")
	// ErrHeader: the header atproto-proxy names no service that can be found. Always a [HeaderError].
	ErrHeader = errors.New("no service that can be found")
	// ErrUnreachable: no connection, none that may be made, or no answer in time.
	ErrUnreachable = errors.New("upstream service unreachable")
	// ErrAway: the host did not answer before, and is not asked now.
	ErrAway = errors.New("upstream service did not answer lately")
	// ErrAccountBusy: the account has as many calls under way as one may have.
	ErrAccountBusy = errors.New("too many calls of this account are under way")
	// ErrBusy: so have the callers of this host together, or all of the process.
	ErrBusy = errors.New("too many calls to other services are under way")
	// ErrTooLarge: the answer is longer than one may be.
	ErrTooLarge = errors.New("upstream answer is too large")
	// ErrCut: the answer ended before it was complete. What has been passed on must not look whole.
	ErrCut = errors.New("upstream answer was cut")
	// ErrUnknownFeed: there is no such feed, or its record names no service.
	ErrUnknownFeed = errors.New("could not resolve the feed")
)

// Limits of calls.
const (
	// AccountCalls is how many calls of one account may be under way.
	AccountCalls = 64
	// ProcessCalls is how many of all may be. The tenants share it ([fair.Places]): one alone has half, one host
	// of it a third, one account a quarter.
	ProcessCalls = 4096
	// MaxAnswer is the longest answer, in bytes on the wire, and MaxError the longest error that is read, decoded too.
	MaxAnswer = 10 << 20
	MaxError  = 256 << 10
	// MaxBody is the longest request body.
	MaxBody = 100 << 20
	// wholeAnswer is up to what length an answer is read before it is passed on, where there is memory for it: the
	// connection to the service is free for the next call, however slow the client.
	wholeAnswer = 128 << 10
	// progressWait is how long nothing of a body may move, in either direction.
	progressWait = 30 * time.Second
	// drainWait is how long the rest of an error is read over, so that the connection can be used again.
	drainWait = 100 * time.Millisecond
)

// Services are those of the deployment, for tenants that name none; the zero Service is none.
type Services struct {
	AppView, Report, Moderation tenant.Service
	CDN                         string // pattern of pictures, with %s for kind, DID and CID; "": none
}

// Config is what a [Proxy] needs.
type Config struct {
	// Public is the way to services that DID documents name, Named the one to those that an operator named: it alone
	// may reach private addresses.
	Public, Named http.RoundTripper
	Documents     *identity.Resolver
	// Signer gives an account's signing key.
	Signer   func(ctx context.Context, schema db.Schema, aid int64) (Signer, error)
	Defaults Services
	Memory   *fair.Bytes // for answers that are read whole; nil: none are
	Now      func() time.Time

	// For tests; 0 is the default of each.
	Progress time.Duration
	Calls    int
}

// Signer is an account's key.
type Signer interface {
	auth.Signer
	PublicDIDKey() string
}

// Proxy calls other services. It is safe for concurrent use; one serves all tenants.
type Proxy struct {
	cfg     Config
	tokens  *tokens
	feeds   *feeds
	hosts   *hosts
	places  *fair.Places
	mu      sync.Mutex
	callers map[callerKey]int // calls under way
}

type callerKey struct {
	schema db.Schema
	did    string
}

// New makes a Proxy.
func New(cfg Config) *Proxy {
	if cfg.Progress == 0 {
		cfg.Progress = progressWait
	}
	if cfg.Calls == 0 {
		cfg.Calls = ProcessCalls
	}
	return &Proxy{
		cfg: cfg, tokens: newTokens(cfg.Signer, cfg.Now), feeds: newFeeds(cfg.Now), hosts: newHosts(cfg.Now),
		places: fair.NewPlaces(cfg.Calls, fair.Waiting{}), callers: map[callerKey]int{},
	}
}

// Caller is an account in whose name a service is called. The face decides whether it may.
type Caller struct {
	Tenant *tenant.Tenant
	AID    int64
	DID    string
	Asks   identity.Asker // who pays for what has to be looked up
	// May says whether the account's credential also covers a call that belongs to another one, such as asking for the post
	// that an answer quotes; nil: it covers none.
	May func(nsid, service string) bool
}

// enter takes the call's places: leave gives them back, once.
func (p *Proxy) enter(c *Call) (leave func(), err error) {
	key := callerKey{c.Caller.Tenant.Schema, c.Caller.DID}
	p.mu.Lock()
	if p.callers[key] >= AccountCalls {
		p.mu.Unlock()
		return nil, ErrAccountBusy
	}
	p.callers[key]++
	p.mu.Unlock()
	hold := p.places.Try(key.schema.String(), c.Target.URL.Host, key.did)
	leave = sync.OnceFunc(func() {
		hold.Release()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.callers[key]--; p.callers[key] == 0 {
			delete(p.callers, key)
		}
	})
	if hold == nil {
		leave()
		return nil, ErrBusy
	}
	return leave, nil
}

// Busy is how many calls are under way.
func (p *Proxy) Busy() int64 { return p.places.Used() }

// Gate says how many calls are under way, of how many.
func (p *Proxy) Gate() fair.Stats { return p.places.Stats() }
