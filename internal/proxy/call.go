package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/tenant"
)

// Call is one call of a service.
type Call struct {
	Caller Caller
	Target Target
	NSID   string
	// Method is the verb: GET, HEAD or POST.
	Method string
	// Query is the raw query as the client sent it, and Bare whether it sent a ? with nothing behind.
	Query string
	Bare  bool
	// Header is the client's: of it only what is in the lists is sent.
	Header http.Header
	// Body is nil when there is none; Length is its length, -1 when that is not known.
	Body   Body
	Length int64
	// As is for whom and what the token is, where that is not the target and the method: a feed's.
	As *Grant
	// Nameless calls carry no token: they ask what anybody may.
	Nameless bool
}

// Grant is what a service token allows.
type Grant struct {
	Service tenant.Service
	NSID    string
}

// Body is a request body that is still coming in.
type Body interface {
	io.Reader
	// Interrupt ends a Read that is under way, from another goroutine.
	Interrupt()
}

// The request headers that are sent, nothing else: no cookies, no address, no name of a program. Every x-atproto-* goes
// too. Authorization is ours.
// spec: xrpc#service-proxying
var (
	sent         = []string{"Accept-Encoding", "Accept-Language", "Atproto-Accept-Labelers", "X-Bsky-Topics"}
	sentWithBody = []string{"Content-Type", "Content-Encoding"}
)

// Returned are the headers of an answer that are passed on.
var Returned = []string{
	"Content-Length", "Content-Encoding", "Content-Type", "Content-Language",
	"Atproto-Repo-Rev", "Atproto-Content-Labelers", "Retry-After",
}

// ofErrors are those that are passed on with an error, whose body is written anew.
var ofErrors = []string{"Atproto-Repo-Rev", "Atproto-Content-Labelers", "Retry-After"}

// Answer is what a service answered. Close its body: the call holds its places until then.
type Answer struct {
	Status int
	Header http.Header // those that are passed on
	// Body gives [ErrCut] or [ErrTooLarge] when it ends before its end.
	Body io.ReadCloser
	// Whole is set when the body is in memory already.
	Whole bool
}

// UpstreamError is a service's error, read and in our form.
type UpstreamError struct {
	Status        int
	Name, Message string // "" when the service gave none that can be read
	Header        http.Header
}

func (e *UpstreamError) Error() string {
	return fmt.Sprintf("upstream answered %d %s: %s", e.Status, e.Name, e.Message)
}

// Get asks a service with a GET in an account's name. header is the client's or one made up: of it go what the lists
// name, and Accept-Encoding in it is what the caller of Get can take; without one the answer is not encoded. An answer of
// up to 128 KiB is usually in memory when Get returns ([Answer.Whole]). [Answer.ReadAll] decodes it; a service's error,
// already read, is an [*UpstreamError] with its name and the headers that are passed on. Errors: as of [Proxy.Do].
func (p *Proxy) Get(ctx context.Context, caller Caller, target Target, nsid, rawQuery string, header http.Header) (*Answer, error) {
	return p.Do(ctx, &Call{Caller: caller, Target: target, NSID: nsid, Method: http.MethodGet, Query: rawQuery, Header: header})
}

// Do calls a service. The answer's status is below 400; ctx ends the call also while the answer's body is read.
// Errors: [*UpstreamError], [ErrUnreachable], [ErrAway], [ErrAccountBusy], [ErrBusy], [ErrTooLarge], [ErrCut], those of
// the call's body and of Config.Signer.
func (p *Proxy) Do(ctx context.Context, c *Call) (*Answer, error) {
	leave, err := p.enter(c)
	if err != nil {
		return nil, err
	}
	answer, err := p.do(ctx, c, leave)
	if err != nil {
		leave()
		return nil, err
	}
	return answer, nil
}

func (p *Proxy) do(ctx context.Context, c *Call, leave func()) (*Answer, error) {
	host := hostKey{c.Caller.Tenant.Schema, c.Target.URL.Host}
	probe, ok := p.hosts.may(host)
	if !ok {
		return nil, ErrAway
	}
	said := outcome(nothing)
	defer func() { p.hosts.told(host, probe, said) }()
	token := ""
	if !c.Nameless {
		var err error
		if token, err = p.tokens.of(ctx, c); err != nil {
			return nil, err
		}
	}
	w := watching(ctx, p.cfg.Progress)
	body := newFeed(c.Body, w)
	resp, err := p.client(c.Target).RoundTrip(request(w.ctx, c, token, body))
	w.pause()
	if err == nil {
		err = body.settle(ctx, resp.StatusCode)
	}
	if err != nil || resp.StatusCode < 200 {
		if resp != nil {
			_ = resp.Body.Close()
		}
		body.stop()
		broken := body.broken() // before the watch ends, which would break it
		w.end()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case broken != nil:
			return nil, broken
		case err == nil:
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		said = outcomeOf(err)
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, c.Target.URL.Host, err)
	}
	said = answered
	a := &upstream{src: resp.Body, left: MaxAnswer, watch: w, ctx: ctx, leave: leave}
	if resp.StatusCode >= 400 {
		return nil, refusal(resp, a)
	}
	return p.answer(c, resp, a)
}

// outcomeOf is what a failure says of a host: what the guard refuses says nothing.
func outcomeOf(err error) outcome {
	if errors.Is(err, outbound.ErrUnsafeAddress) {
		return nothing
	}
	return silent
}

func (p *Proxy) client(t Target) http.RoundTripper {
	if t.named {
		return p.cfg.Named
	}
	return p.cfg.Public
}

// request makes the request. Path and query go as they came.
func request(ctx context.Context, c *Call, token string, body *feed) *http.Request {
	u := &url.URL{
		Scheme: c.Target.URL.Scheme, Host: c.Target.URL.Host,
		Opaque: "/xrpc/" + c.NSID, RawQuery: c.Query, ForceQuery: c.Bare,
	}
	r := (&http.Request{Method: c.Method, URL: u, Host: u.Host, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	for name, values := range c.Header {
		if strings.HasPrefix(name, "X-Atproto-") {
			r.Header[name] = values
		}
	}
	pick(r.Header, c.Header, sent)
	if _, ok := r.Header["Accept-Encoding"]; !ok {
		r.Header["Accept-Encoding"] = []string{"identity"}
	}
	if token != "" {
		r.Header["Authorization"] = []string{"Bearer " + token}
	}
	r.Header["User-Agent"] = nil // else net/http names itself
	if body != nil {
		pick(r.Header, c.Header, sentWithBody)
		r.Body, r.ContentLength = body, c.Length
	}
	return r
}

func pick(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from[name]; len(values) > 0 {
			to[name] = values
		}
	}
}

// answer makes an answer that can be passed on.
func (p *Proxy) answer(c *Call, resp *http.Response, body *upstream) (*Answer, error) {
	a := &Answer{Status: resp.StatusCode, Header: http.Header{}, Body: body}
	pick(a.Header, resp.Header, Returned)
	// The transport has read the length already, and takes it away where it does not hold.
	if a.Header.Del("Content-Length"); resp.ContentLength >= 0 && (resp.ContentLength > 0 || len(resp.Header["Content-Length"]) > 0) {
		a.Header["Content-Length"] = []string{strconv.FormatInt(resp.ContentLength, 10)}
	}
	if c.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		_ = body.Close()
		a.Body, a.Whole = http.NoBody, true
		return a, nil
	}
	if resp.ContentLength > MaxAnswer {
		_ = body.Close()
		return nil, fmt.Errorf("%w: %d bytes from %s", ErrTooLarge, resp.ContentLength, c.Target.URL.Host)
	}
	if resp.ContentLength > wholeAnswer || p.cfg.Memory == nil {
		return a, nil
	}
	return p.whole(c, a, resp.ContentLength, body)
}
