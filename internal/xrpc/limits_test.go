package xrpc

import (
	"net/netip"
	"testing"
)

// An address counts as one caller, of IPv6 its network of 64 bits.
func TestAddressKey(t *testing.T) {
	for in, want := range map[string]string{
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9%eth0": "2001:db8:1:2::/64", "203.0.113.1": "203.0.113.1",
	} {
		if got := addressKey(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s is counted as %s, want %s", in, got, want)
		}
	}
}
