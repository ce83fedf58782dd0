package outbound

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// Policy says where a client may connect, and what it keeps. The zero value is for production: https on port 443 of
// public unicast addresses.
type Policy struct {
	// AllowLoopback is for development: plain http and any port on localhost, and loopback addresses besides the public
	// ones. Names under .localhost lead to 127.0.0.1 whatever the resolver says.
	AllowLoopback bool
	// AnyPort allows every port of a public address, not only 443: services name theirs in their documents.
	AnyPort bool
	// Ports are allowed besides 443.
	Ports []uint16
	// Private is what the operator allows besides public addresses.
	Private Private
	// Refuse names more networks that must not be reached, whoever allows them: the deployment's own public addresses
	// whose inside listens to its neighbours, for example.
	Refuse []netip.Prefix
	// Only is the one origin that requests may go to: named by the operator, never by a stranger, so it may be http,
	// and at any address and port.
	Only *url.URL
	// Timeout bounds a whole request, its body included; 0 means 10 s, and negative none (a caller that streams sets
	// its own deadline).
	Timeout time.Duration
	// HeaderTimeout bounds the wait for the response's head; 0 means 10 s, and negative none.
	HeaderTimeout time.Duration
	// IdlePerHost and Idle bound the connections kept for later requests: of one host (0 means 4), and of all (0 means
	// 100).
	IdlePerHost, Idle int
	// AsSent is for callers that hand an answer on: it is not decompressed, and no compression is asked for.
	AsSent bool
	// Resolver looks up names; nil is the system's.
	Resolver *net.Resolver
}

const (
	defaultTimeout     = 10 * time.Second
	defaultIdlePerHost = 4
	defaultIdle        = 100
	idleTime           = 30 * time.Second
	dialTimeout        = 5 * time.Second
	maxResponseHeaders = 64 << 10
)

// New makes a client for URLs that strangers choose: did:web, handles, client metadata, proxied services. Each address
// is checked when the connection is made, after the name was resolved, so a name that changes its mind between look-up
// and connect gains nothing. Redirects are handed back unfollowed ([Following] is for who wants them), no proxy from
// the environment is used, no cookies are kept.
//
// Call CloseIdleConnections when done with it.
func New(p Policy) *http.Client {
	return &http.Client{
		Timeout: timeout(p.Timeout),
		Transport: &guard{p, &http.Transport{
			DialContext:            p.dial,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  timeout(p.HeaderTimeout),
			MaxResponseHeaderBytes: maxResponseHeaders,
			MaxIdleConns:           orDefault(p.Idle, defaultIdle),
			MaxIdleConnsPerHost:    orDefault(p.IdlePerHost, defaultIdlePerHost),
			IdleConnTimeout:        idleTime,
			DisableCompression:     p.AsSent,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func timeout(d time.Duration) time.Duration {
	if d == 0 {
		return defaultTimeout
	}
	return max(d, 0) // net/http's word for none is 0
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// Following is the client with up to n redirects followed. Each hop is held to the same rules as the first request. It
// shares the connections of c.
func Following(c *http.Client, n int) *http.Client {
	out := *c
	out.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
		if len(via) > n {
			return fmt.Errorf("%w: more than %d redirects", ErrStatus, n)
		}
		return nil
	}
	return &out
}

// guard checks what is known before a connection is made: scheme, user info and origin.
type guard struct {
	policy Policy
	next   *http.Transport
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if why := g.policy.refuses(r.URL); why != "" {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper owns the body, refused or not
		}
		return nil, fmt.Errorf("%w: %s", ErrUnsafeAddress, why)
	}
	return g.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (g *guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

// refuses says what is wrong with a URL, or nothing.
func (p Policy) refuses(u *url.URL) string {
	switch {
	case u.User != nil:
		return "user name in URL"
	case isMapped(u.Hostname()):
		return "IPv4 address in IPv6"
	case p.Only != nil && (u.Scheme != p.Only.Scheme || u.Host != p.Only.Host):
		return "another origin"
	case p.Only != nil, u.Scheme == "https":
		return ""
	case u.Scheme == "http" && p.AllowLoopback && IsLocalhost(u.Hostname()):
		return ""
	case u.Scheme == "http" && p.Private.names(hostPort(u)):
		return ""
	}
	return "not https"
}

// dial connects to host:port, and lets each address that the name leads to be checked right before connect(2).
func (p Policy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnsafeAddress, address)
	}
	if p.AllowLoopback && IsLocalhost(host) && net.ParseIP(host) == nil {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	named := p.Private.names(host, port)
	d := &net.Dialer{Timeout: dialTimeout, Resolver: p.Resolver}
	d.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || (network != "tcp4" && network != "tcp6") {
			return fmt.Errorf("%w: %s", ErrUnsafeAddress, network)
		}
		return p.check(ap, named)
	}
	return d.DialContext(ctx, network, address)
}

// check says whether a connection may be made to an address. named tells that the operator named the host and port that
// led there.
func (p Policy) check(ap netip.AddrPort, named bool) error {
	if p.Only != nil { // guard has seen to it that the request is for that origin
		return nil
	}
	addr := ap.Addr().Unmap()
	for _, net := range p.Refuse {
		if net.Contains(addr) {
			return fmt.Errorf("%w: refused network", ErrUnsafeAddress)
		}
	}
	switch {
	case p.AllowLoopback && addr.IsLoopback():
		return nil
	case isNever(addr):
		return fmt.Errorf("%w: not an address of a service", ErrUnsafeAddress)
	case named, p.Private.holds(addr):
		return nil
	case !IsPublicUnicast(ap.Addr()):
		return fmt.Errorf("%w: not public", ErrUnsafeAddress)
	case ap.Port() != 443 && !p.AnyPort && !slices.Contains(p.Ports, ap.Port()):
		return fmt.Errorf("%w: port %d", ErrUnsafeAddress, ap.Port())
	}
	return nil
}
