package handlers

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestLookupLimits: what has to be fetched for a stranger's question is counted for the address and for the tenant;
// what is known costs nothing, and another tenant's is another count.
func TestLookupLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for _, host := range []string{hostA, hostB} {
		h.set(host, "rate_limits", "on")
		h.set(host, "rate_limit_percent", "1") // 3 for an address, 60 for the tenant, 30 calls of all kinds
	}
	n := 0
	unknown := func() string { n++; return fmt.Sprintf("did:plc:%024s", strings.Repeat("2", n)) }
	ask := func(host, addr, method, name, value string) reply {
		return h.raw("GET", host, "/xrpc/com.atproto.identity."+method+params(name, value), nil, "X-Forwarded-For: "+addr)
	}
	spend := func(host, addr string) int {
		for passed := 0; ; passed++ {
			r := ask(host, addr, "resolveDid", "did", unknown())
			if r.status == 429 {
				if wait, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || wait < 1 {
					t.Errorf("Retry-After is %q", r.header.Get("Retry-After"))
				}
				r.fails(429, "RateLimitExceeded", "")
				return passed
			}
		}
	}
	const addr = "203.0.113.1"
	ask(hostA, addr, "resolveDid", "did", alice.did).ok() // fetched when the account was made
	if passed := spend(hostA, addr); passed != 3 {
		t.Errorf("%d questions passed", passed)
	}
	ask(hostA, addr, "resolveDid", "did", alice.did).ok()
	for method, name := range map[string]string{"resolveHandle": "handle", "resolveIdentity": "identifier"} {
		ask(hostA, addr, method, name, "nobody.b.test").fails(429, "RateLimitExceeded", "")
	}
	// A network's count, whatever addresses in it ask.
	of48 := 0
	for i := range 6 {
		of48 += spend(hostB, fmt.Sprintf("2001:db8:1:%x::1", i))
	}
	if of48 != 10 {
		t.Errorf("%d questions passed from a network of 48 bits", of48)
	}
	// The tenant's count: many addresses together.
	passed := 3
	for i := range 40 {
		passed += spend(hostA, fmt.Sprintf("203.0.113.%d", 2+i))
	}
	if passed != 60 {
		t.Errorf("%d questions passed at the tenant", passed)
	}
	if passed := spend(hostB, addr); passed != 3 {
		t.Errorf("%d questions passed at another tenant", passed)
	}
}
