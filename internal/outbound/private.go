package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Private is what the operator allows besides public addresses. The zero value is nothing. Link-local and metadata
// addresses stay refused, whatever it holds.
type Private struct {
	hosts map[string]bool // host:port in normal form: http and https, wherever the name leads
	nets  []netip.Prefix  // https on any port of these addresses
}

// ParsePrivate reads the operator's list, separated by commas or spaces: HOST:PORT, which allows http and https there,
// or a network (10.1.0.0/16, fd12::/64), which allows https on any port of its addresses. The empty text is nothing.
// Errors: [ErrPrivate].
func ParsePrivate(text string) (Private, error) {
	out := Private{hosts: map[string]bool{}}
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
		if strings.Contains(field, "/") {
			n, err := parseNet(field)
			if err != nil {
				return Private{}, err
			}
			out.nets = append(out.nets, n)
			continue
		}
		host, port, err := net.SplitHostPort(field)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || n == 0 || !isHost(host) {
			return Private{}, fmt.Errorf("%w: %.60q is neither", ErrPrivate, field)
		}
		if addr, err := netip.ParseAddr(host); err == nil && isNever(addr) {
			return Private{}, fmt.Errorf("%w: %.60q is no address of a service", ErrPrivate, field)
		}
		out.hosts[join(host, strconv.FormatUint(n, 10))] = true
	}
	return out, nil
}

func parseNet(field string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(field)
	if err != nil {
		return p, fmt.Errorf("%w: %.60q is no network (and a URL is not what is wanted)", ErrPrivate, field)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%w: %.60q is wider than all of IPv4", ErrPrivate, field)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%w: %s is every address", ErrPrivate, field)
	}
	return p.Masked(), nil
}

// isHost takes a name in ASCII or an address; what else a URL may hold there is no host of a list.
func isHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == "" && !addr.Is4In6()
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// names tells whether the operator named exactly this host and port.
func (p Private) names(host, port string) bool {
	return len(p.hosts) > 0 && p.hosts[join(host, port)]
}

// Names tells whether the operator named a host, as it stands in a URL.
func (p Private) Names(host string) bool {
	name, port := hostPort(&url.URL{Scheme: "https", Host: host})
	return p.names(name, port)
}

// holds tells whether an address lies in a network of the operator's.
func (p Private) holds(addr netip.Addr) bool { return within(addr, p.nets) }

// join brings a host and a port to the form that is compared.
func join(host, port string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String() // fd00:0::1 is fd00::1
	}
	return net.JoinHostPort(host, port)
}

func hostPort(u *url.URL) (host, port string) {
	port = u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname(), port
}
