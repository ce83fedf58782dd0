package outbound

import (
	"net/netip"
	"slices"
	"strings"
)

// notPublic are the special-purpose networks within what else looks like global unicast: IANA's registries, those not
// marked globally reachable; the transition mechanisms that carry another address inside (Teredo within 2001::/23, 6to4
// within 2002::/16); and what never is a service.
var notPublic = append(prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
), never...)

// never are addresses that no service has, so that the operator's list cannot open them either: this network,
// multicast, link-local, and where clouds tell a machine its secrets. Some of the latter look public or lie in private
// networks.
var never = prefixes(
	"0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "169.254.0.0/16",
	"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
	"::/128", "ff00::/8", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128",
)

// globalV6 is all of IPv6 that is public today. Loopback, link-local, unique local, NAT64 (64:ff9b::), and IPv4
// addresses mapped into IPv6 or compatible with it lie outside.
var globalV6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func within(addr netip.Addr, nets []netip.Prefix) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// isNever tells whether nothing may connect there. A zone belongs to a link, so an address with one is never a
// service's.
func isNever(addr netip.Addr) bool {
	return !addr.IsValid() || addr.Zone() != "" || within(addr.Unmap(), never)
}

// IsPublicUnicast says whether an address belongs to one host on the public internet. An IPv4 address that is mapped
// into IPv6 does not: nobody has reason to write it like that. (A name that has one as its AAAA record is connected to
// by IPv4, and that address counts.)
func IsPublicUnicast(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !globalV6.Contains(addr) {
		return false
	}
	return !within(addr, notPublic)
}

// IsLocalhost tells whether a host, name or address, is this machine by its form.
func IsLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isMapped tells whether a host is an IPv4 address that is written as an IPv6 one.
func isMapped(host string) bool {
	if !strings.Contains(host, ":") {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is4In6()
}
