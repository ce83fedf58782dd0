package outbound

import (
	"errors"
	"net/netip"
	"testing"
)

// The kinds of addresses that a stranger may name, each with its edges.
var kinds = map[string][]string{
	"public": {
		"1.1.1.1", "8.8.8.8", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1",
		"198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2001:200::1",
	},
	"this network": {"0.0.0.0", "0.1.2.3", "::"},
	"private":      {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1", "fec0::1"},
	"loopback":     {"127.0.0.1", "127.255.255.254", "::1"},
	"link-local":   {"169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1"},
	"CGNAT":        {"100.64.0.1", "100.127.255.255"},
	"metadata":     {"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"},
	"4 in 6":       {"::ffff:1.1.1.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0", "::127.0.0.1", "::8.8.8.8"},
	"NAT64":        {"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"},
	"6to4":         {"2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "192.88.99.1"},
	"Teredo":       {"2001::1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"},
	"multicast":    {"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"},
	"reserved": {
		"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
		"100::1", "2001:db8::1", "3fff::1", "5f00::1",
	},
	"zone": {"2606:4700:4700::1111%eth0"},
}

func TestAddresses(t *testing.T) {
	everywhere := Policy{AnyPort: true, Private: private(t, "0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1")}
	for kind, addrs := range kinds {
		for _, s := range addrs {
			a := netip.MustParseAddr(s)
			if IsPublicUnicast(a) != (kind == "public") {
				t.Errorf("%s: %s: public is %v", kind, s, kind != "public")
			}
			if mapped := netip.AddrFrom16(a.As16()); a.Is4() && IsPublicUnicast(mapped) {
				t.Errorf("%s: %s is public", kind, mapped)
			}
			ap := netip.AddrPortFrom(a, 443)
			for _, p := range []Policy{{}, {AnyPort: true}, {Private: private(t, "other.internal:443")}} {
				if err := p.check(ap, false); (err == nil) != (kind == "public") || (err != nil && !errors.Is(err, ErrUnsafeAddress)) {
					t.Errorf("%s: %s: %v", kind, s, err)
				}
			}
			// The operator can open what is private, and cannot open what is nobody's service.
			never := kind == "this network" || kind == "link-local" || kind == "metadata" || kind == "multicast" || kind == "zone" ||
				s == "::ffff:169.254.169.254" || s == "::ffff:0:0" || s == "255.255.255.255"
			if err := everywhere.check(ap, false); (err != nil) != never {
				t.Errorf("%s: %s, in a network of the operator's: %v", kind, s, err)
			}
			if err := (Policy{}).check(ap, true); (err != nil) != never {
				t.Errorf("%s: %s, of a host that the operator named: %v", kind, s, err)
			}
			if err := (Policy{Refuse: []netip.Prefix{netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())}}).check(ap, true); err == nil {
				t.Errorf("%s: %s is refused by name, and allowed", kind, s)
			}
		}
	}
	if IsPublicUnicast(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestPorts(t *testing.T) {
	dev := Policy{AllowLoopback: true, Ports: []uint16{8443}, Refuse: prefixes("1.1.1.0/24", "127.0.0.9/32")}
	any := Policy{AnyPort: true, Private: private(t, "10.1.0.0/16, fd12::/64")}
	for s, want := range map[string][2]bool{ // dev, any
		"127.0.0.1:2583": {true, false}, "[::1]:25": {true, false}, "[::ffff:127.0.0.1]:80": {true, false}, "127.0.0.9:80": {false, false},
		"10.0.0.1:443": {false, false}, "10.1.0.1:443": {false, true}, "10.1.255.1:3000": {false, true}, "10.2.0.0:443": {false, false},
		"[fd12::1]:3000": {false, true}, "[fd12:0:0:1::1]:443": {false, false},
		"169.254.169.254:443": {false, false}, "8.8.8.8:443": {true, true}, "8.8.8.8:8443": {true, true},
		"8.8.8.8:22": {false, true}, "8.8.8.8:80": {false, true}, "1.1.1.1:443": {false, true}, "[::ffff:1.1.1.1]:443": {false, false},
	} {
		for i, p := range []Policy{dev, any} {
			if err := p.check(netip.MustParseAddrPort(s), false); (err == nil) != want[i] {
				t.Errorf("%s: %v", s, err)
			}
		}
	}
}
