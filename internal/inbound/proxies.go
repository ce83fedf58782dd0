package inbound

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the addresses that are believed when they say, in X-Forwarded-For, whom a request comes from. The zero
// value is [DefaultProxies].
type Proxies struct{ nets []netip.Prefix } // nil: the default; empty: nobody

// DefaultProxies is how [ParseProxies] is told the default: what stands in front of a server at home.
const DefaultProxies = "loopback,private"

// ErrProxies: not a list of proxies.
var ErrProxies = errors.New("not a list of proxies, as loopback,private,192.0.2.0/24,2001:db8::/32 or none")

// named are groups of networks.
var named = map[string][]netip.Prefix{
	"loopback": networks("127.0.0.0/8", "::1/128"),
	"private":  networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
	"none":     {},
}

var byDefault = append(append([]netip.Prefix{}, named["loopback"]...), named["private"]...)

func networks(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// ParseProxies reads networks, addresses and the groups loopback, private and none, separated by commas or spaces.
// Errors: [ErrProxies].
func ParseProxies(text string) (Proxies, error) {
	p := Proxies{nets: []netip.Prefix{}}
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(fields) == 0 {
		return Proxies{}, fmt.Errorf("%w: it is empty", ErrProxies)
	}
	for _, field := range fields {
		if group, ok := named[strings.ToLower(field)]; ok {
			p.nets = append(p.nets, group...)
			continue
		}
		one, err := netip.ParsePrefix(field)
		if err != nil {
			addr, addrErr := netip.ParseAddr(field)
			if addrErr != nil || addr.Zone() != "" {
				return Proxies{}, fmt.Errorf("%w: %.60q", ErrProxies, field)
			}
			one = netip.PrefixFrom(addr, addr.BitLen())
		}
		if one.Addr().Is4In6() && one.Bits() >= 96 {
			one = netip.PrefixFrom(one.Addr().Unmap(), one.Bits()-96)
		}
		if one.Bits() == 0 {
			return Proxies{}, fmt.Errorf("%w: %s is everybody, who could then say who they are", ErrProxies, field)
		}
		p.nets = append(p.nets, one.Masked())
	}
	return p, nil
}

// Trusts tells whether an address is a proxy's. Who comes by a Unix socket has none and is at home.
func (p Proxies) Trusts(a netip.Addr) bool {
	nets := p.nets
	if nets == nil {
		nets = byDefault
	}
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return true
	}
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Client is the address that a request comes from: X-Forwarded-For is read from its end, where the nearest proxy wrote,
// as long as what was read so far is a proxy's. What stands before that was written by whoever liked to. A proxy that
// writes no address is the last one believed. Header Forwarded and others of the kind are not read.
func (p Proxies) Client(r *http.Request) netip.Addr {
	at := netip.Addr{}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		at = peer.Addr().Unmap().WithZone("")
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			if !p.Trusts(at) {
				return at
			}
			hop := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				rest = ""
			}
			if hop = strings.TrimSpace(hop); hop == "" {
				continue // lists may have empty places
			}
			addr, ok := hopAddr(hop)
			if !ok {
				return at
			}
			at = addr
		}
	}
	return at
}

// hopAddr reads an address as proxies write it: some add the port, some put brackets around IPv6.
func hopAddr(text string) (netip.Addr, bool) {
	if inside, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inside, "]") {
		text = strings.TrimSuffix(inside, "]")
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(text); err == nil {
			a = ap.Addr()
		}
	}
	a = a.Unmap().WithZone("")
	return a, err == nil && !a.IsUnspecified()
}
