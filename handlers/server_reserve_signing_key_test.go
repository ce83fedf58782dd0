package handlers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Anybody may ask for keys: they wait only so long, and one address gets only so many a day.
func TestReserveSigningKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const reserve = "com.atproto.server.reserveSigningKey"
	key := func(in obj) string { return h.post(hostB, reserve, "", in).ok().str("signingKey") }
	count := func() int64 {
		return query64(t, h.url, "SELECT count(*) FROM "+h.b.Schema.String()+".tenant_item WHERE kind = 14")[0]
	}
	u := h.createAccount(hostA, "alice")
	first := key(obj{"did": u.did})
	for _, bad := range []string{"", "alice.a.test", "did:", "did:plc:" + strings.Repeat("a", 3000)} {
		h.post(hostB, reserve, "", obj{"did": bad}).fails(400, "InvalidRequest", "did")
	}
	// One for nobody in particular waits for a day, a DID's for a week.
	key(obj{})
	h.clock.add(24*time.Hour + time.Second)
	h.sweep()
	if n := count(); n != 1 || key(obj{"did": u.did}) != first {
		t.Errorf("%d keys are left after a day", n)
	}
	// A late one is nobody's, whether it was swept or not.
	h.clock.add(6 * 24 * time.Hour)
	second := key(obj{"did": u.did})
	if second == first || key(obj{"did": u.did}) != second {
		t.Error("a key of a week ago is given out")
	}
	h.clock.add(7*24*time.Hour + time.Second)
	u = u.login(userPassword)
	token := u.ask(serviceAuth, "aud", h.b.ServiceDID, "lxm", createAccount).ok().str("token")
	r := h.post(hostB, createAccount, bearer(token), obj{"did": u.did, "handle": "alice.b.test", "email": h.email("moved"), "password": userPassword}).ok()
	moved := &user{h, hostB, u.did, "alice.b.test", r.str("accessJwt"), r.str("refreshJwt")}
	if got := moved.ask("com.atproto.identity.getRecommendedDidCredentials").ok().str("verificationMethods", "atproto"); got == second || got == first {
		t.Error("the account has a key that was too old")
	}
	h.sweep()
	if n := count(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	// One address does not fill a tenant's room by itself.
	h.set(hostB, "rate_limits", "on")
	given, policies := 0, map[string]bool{}
	for range 22 { // enough when a day turns in between
		for range 20 {
			r := h.raw("POST", hostB, "/xrpc/"+reserve, obj{}, "X-Forwarded-For: 203.0.113.1")
			if r.status == 200 {
				given++
				continue
			}
			r.fails(429, "RateLimitExceeded", "Rate Limit Exceeded")
			policies[r.header.Get("RateLimit-Policy")] = true
		}
		h.clock.add(fiveMinutes)
	}
	if !policies["200;w=86400"] || given > 400 {
		t.Errorf("an address got %d keys, limited by %v", given, policies)
	}
	h.raw("POST", hostB, "/xrpc/"+reserve, obj{}, "X-Forwarded-For: 203.0.113.2").ok()
}

// However many keys strangers reserve, whoever moves here gets one and keeps it: the oldest go of who has most.
func TestReservedKeysMakeRoom(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const reserve = "com.atproto.server.reserveSigningKey"
	key := func(from string, in obj) string {
		return h.raw("POST", hostB, "/xrpc/"+reserve, in, "X-Forwarded-For: "+from).ok().str("signingKey")
	}
	count := func(where string) int64 {
		return query64(t, h.url, "SELECT count(*) FROM "+h.b.Schema.String()+".tenant_item WHERE kind = 14 AND "+where)[0]
	}
	// others reserves n keys of each of some addresses.
	others := func(addresses, n int, network, address string) {
		h.exec(h.b, "INSERT INTO pds.tenant_item (kind, key, secret, created_at, due_at, label, value) SELECT 14, convert_to("+network+" || a || '-' || n, 'UTF8'), '\\x00', $1::timestamptz + n * interval '1 ms', $2, "+network+", "+address+
			" FROM generate_series(1, $3::int) a, generate_series(1, $4::int) n", h.clock.Now(), h.clock.Now().Add(time.Hour), addresses, n)
	}
	mover := obj{"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}
	mine := key("198.51.100.7", mover)
	others(8, 1000, "'203.0.113.' || a", "'203.0.113.' || a")
	others(2, 1000, "'2001:db8:1::/48'", "'2001:db8:1:' || a || '::/64'")
	if n := count("true"); n != 10_001 {
		t.Fatal(n)
	}
	second := key("198.51.100.8", obj{"did": "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"})
	if n := count("true"); n > 10_000 {
		t.Errorf("%d keys", n)
	}
	if n := count("label = '2001:db8:1::/48'"); n > 1998 {
		t.Errorf("who has most lost none: %d", n)
	}
	// Who has as many as one may loses its own.
	key("203.0.113.3", obj{})
	key("2001:db8:1:3::5", obj{})
	if n := count("value = '203.0.113.3'"); n != 1000 {
		t.Errorf("an address has %d", n)
	}
	if n := count("label = '2001:db8:1::/48'"); n > 2000 {
		t.Errorf("a network has %d", n)
	}
	for range 5 {
		for i := range 8 {
			key(fmt.Sprintf("203.0.113.%d", i+1), obj{})
		}
	}
	if key("198.51.100.7", mover) != mine || count("(key = convert_to('"+mine+"', 'UTF8') OR key = convert_to('"+second+"', 'UTF8'))") != 2 {
		t.Error("a mover's key has gone")
	}
	h.post(hostA, reserve, "", obj{}).ok()
}
