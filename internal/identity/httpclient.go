package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Errors of requests to addresses chosen by strangers.
var (
	// ErrUnsafeAddress: not a public address, or a port or scheme that is not allowed.
	ErrUnsafeAddress = errors.New("address is not allowed")
	// ErrTooBig: the answer is longer than the caller takes.
	ErrTooBig = errors.New("response is too big")
	// ErrStatus: the answer is not a 200; redirects are not followed.
	ErrStatus = errors.New("unexpected HTTP status")
)

// Policy says where a client may connect. The zero value is for production:
// https on port 443 of public unicast addresses.
type Policy struct {
	// AllowLoopback is for development: plain http and any port on localhost,
	// and loopback addresses besides the public ones. Names under .localhost
	// lead to 127.0.0.1 whatever the resolver says.
	AllowLoopback bool
	// Ports are allowed besides 443.
	Ports []uint16
	// Refuse names more networks that must not be reached: the deployment's own
	// public addresses whose inside listens to its neighbours, for example.
	Refuse []netip.Prefix
	// Only is the one origin that requests may go to: named by the operator, never
	// by a stranger, so it may be http, and at any address and port.
	Only *url.URL
	// Timeout bounds a whole request, its body included; 0 means 10 s, and
	// negative none (a caller that streams sets its own deadline).
	Timeout time.Duration
	// HeaderTimeout bounds the wait for the response's head; 0 means 10 s.
	HeaderTimeout time.Duration
	// Resolver looks up names; nil is the system's.
	Resolver *net.Resolver
}

const (
	defaultTimeout     = 10 * time.Second
	dialTimeout        = 5 * time.Second
	maxResponseHeaders = 64 << 10
)

// NewHTTPClient makes a client for URLs that strangers choose: did:web, handles,
// client metadata, proxied services. The address is checked when the connection
// is made, after the name was resolved, so a name that changes its mind between
// look-up and connect gains nothing. Redirects are handed back unfollowed, no
// proxy from the environment is used, no cookies are kept.
//
// Call CloseIdleConnections when done with it.
func NewHTTPClient(p Policy) *http.Client {
	orDefault := func(d time.Duration) time.Duration {
		if d == 0 {
			return defaultTimeout
		}
		return max(d, 0)
	}
	d := &net.Dialer{Timeout: dialTimeout, Resolver: p.Resolver, ControlContext: p.control}
	return &http.Client{
		Timeout: orDefault(p.Timeout),
		Transport: &guard{p, &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if p.AllowLoopback {
					if host, port, err := net.SplitHostPort(address); err == nil && isLocalhost(host) && net.ParseIP(host) == nil {
						address = net.JoinHostPort("127.0.0.1", port)
					}
				}
				return d.DialContext(ctx, network, address)
			},
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  orDefault(p.HeaderTimeout),
			MaxResponseHeaderBytes: maxResponseHeaders,
			MaxIdleConns:           100,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        30 * time.Second,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guard checks what is known before a connection is made: scheme and user info.
type guard struct {
	policy Policy
	next   *http.Transport
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	refuse := func(why string) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper owns the body, refused or not
		}
		return nil, fmt.Errorf("%w: %s", ErrUnsafeAddress, why)
	}
	switch {
	case r.URL.User != nil:
		return refuse("user name in URL")
	case g.policy.Only != nil && (r.URL.Scheme != g.policy.Only.Scheme || r.URL.Host != g.policy.Only.Host):
		return refuse("another origin")
	case g.policy.Only != nil:
	case r.URL.Scheme == "https":
	case r.URL.Scheme == "http" && g.policy.AllowLoopback && isLocalhost(r.URL.Hostname()):
	default:
		return refuse("not https")
	}
	return g.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (g *guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

// control runs with the numeric address, right before connect(2).
func (p Policy) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return fmt.Errorf("%w: %s", ErrUnsafeAddress, network)
	}
	return p.Check(ap)
}

// Check says whether the policy allows a connection to the address.
// Errors: [ErrUnsafeAddress].
func (p Policy) Check(ap netip.AddrPort) error {
	if p.Only != nil { // guard has seen to it that the request is for that origin
		return nil
	}
	addr := ap.Addr().Unmap()
	for _, net := range p.Refuse {
		if net.Contains(addr) {
			return fmt.Errorf("%w: refused network", ErrUnsafeAddress)
		}
	}
	if p.AllowLoopback && addr.IsLoopback() {
		return nil
	}
	if !IsPublicUnicast(ap.Addr()) {
		return fmt.Errorf("%w: not public", ErrUnsafeAddress)
	}
	if ap.Port() != 443 && !slices.Contains(p.Ports, ap.Port()) {
		return fmt.Errorf("%w: port %s", ErrUnsafeAddress, strconv.Itoa(int(ap.Port())))
	}
	return nil
}

// notPublic are the special-purpose networks within what else looks like global
// unicast (IANA's registries, those not marked globally reachable, and the
// transition mechanisms that carry another address inside).
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

// All of IPv6 that is public today; loopback, link-local, unique local, NAT64
// (64:ff9b::), mapped and compatible addresses lie outside of it.
var globalV6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// IsPublicUnicast says whether an address belongs to one host on the public
// internet. IPv4 addresses mapped into IPv6 count as what they are inside.
func IsPublicUnicast(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	if addr.Is6() && !globalV6.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// ReadBody reads a body of at most limit bytes and closes it; [ErrTooBig] beyond.
func ReadBody(r *http.Response, limit int64) ([]byte, error) {
	defer r.Body.Close()
	if r.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooBig, r.ContentLength)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooBig, limit)
	}
	return b, nil
}

// Fetch does one GET and returns a body of at most limit bytes. The status is
// given with [ErrStatus], everything else as status 0.
func Fetch(ctx context.Context, c *http.Client, url, accept string, limit int64) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: malformed URL", ErrUnsafeAddress)
	}
	return do(c, req, accept, limit)
}

func do(c *http.Client, req *http.Request, accept string, limit int64) ([]byte, int, error) {
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "aurora-locus")
	resp, err := c.Do(req)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, resp.StatusCode, fmt.Errorf("%w %d", ErrStatus, resp.StatusCode)
	}
	body, err := ReadBody(resp, limit)
	if err != nil {
		return nil, 0, err
	}
	return body, resp.StatusCode, nil
}
