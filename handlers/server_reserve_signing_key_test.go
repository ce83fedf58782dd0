package handlers

import (
	"strings"
	"testing"
	"time"
)

// Anybody may ask for keys: there are only so many, they wait only so long, and one address gets only so many a day.
func TestReserveSigningKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const reserve = "com.atproto.server.reserveSigningKey"
	key := func(in obj) string { return h.post(hostB, reserve, "", in).ok().str("signingKey") }
	count := func() int64 {
		return query64(t, h.url, "SELECT count(*) FROM "+h.b.Schema.String()+".reserved_key")[0]
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
	// When there are as many as may be, who has one still gets it.
	const other = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	mine := key(obj{"did": other})
	h.exec(h.b, "INSERT INTO pds.reserved_key (public, did, sealed, created_at, expires_at) SELECT 'key' || n, NULL, '\\x00', $1, $2 FROM generate_series(1, 9999) n", h.clock.Now(), h.clock.Now().Add(time.Hour))
	for _, in := range []obj{{}, {"did": "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"}} {
		h.post(hostB, reserve, "", in).fails(429, "RateLimitExceeded", "Too many signing keys are reserved")
	}
	if key(obj{"did": other}) != mine {
		t.Error("another key for the same DID")
	}
	h.post(hostA, reserve, "", obj{}).ok() // the other tenant has room
	h.clock.add(time.Hour + time.Second)
	h.sweep()
	key(obj{})

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
