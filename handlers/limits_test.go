package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLimits calls each limited method until it is refused, and once more in the next window.
func TestLimits(t *testing.T) {
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	h.set(hostA, "rate_limits", "on")
	from := func(addr string) string { return "X-Forwarded-For: " + addr }
	for i, c := range []struct {
		method string
		points int
		window time.Duration
		call   func(n int, from string) reply
	}{
		{"createSession", 30, fiveMinutes, func(_ int, from string) reply {
			return h.raw("POST", hostA, "/xrpc/com.atproto.server.createSession", obj{"identifier": " ALICE." + hostA, "password": userPassword}, from)
		}},
		{"createAccount", 100, fiveMinutes, func(n int, from string) reply {
			return h.raw("POST", hostA, "/xrpc/com.atproto.server.createAccount", obj{"handle": fmt.Sprintf("u%d.%s", n, hostA), "email": "x", "password": "y"}, from)
		}},
		{"deleteAccount", 50, fiveMinutes, func(n int, from string) reply {
			return h.raw("POST", hostA, "/xrpc/com.atproto.server.deleteAccount", obj{"did": fmt.Sprintf("did:plc:%024d", n), "password": strings.Repeat("x", 600), "token": "t"}, from)
		}},
		{"updateHandle", 10, fiveMinutes, func(n int, from string) reply {
			return h.raw("POST", hostA, "/xrpc/com.atproto.identity.updateHandle", obj{"handle": "x." + hostB}, from, bearer(alice.access))
		}},
	} {
		addr := from(fmt.Sprintf("203.0.113.%d", i))
		var r reply
		n := 0
		for ; n <= c.points; n++ {
			r = c.call(n, addr)
			if r.status == 429 {
				break
			}
			if got := r.header.Get("RateLimit-Remaining"); got != strconv.Itoa(c.points-n-1) {
				t.Fatalf("%s: call %d: %d %s, remaining %q", c.method, n, r.status, r.body, got)
			}
		}
		if n != c.points {
			t.Errorf("%s: %d calls passed, want %d", c.method, n, c.points)
		}
		r.fails(429, "RateLimitExceeded", "Rate Limit Exceeded")
		for name, want := range map[string]string{
			"RateLimit-Limit": strconv.Itoa(c.points), "RateLimit-Remaining": "0", "RateLimit-Policy": fmt.Sprintf("%d;w=%d", c.points, int(c.window.Seconds())),
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", c.method, name, got, want)
			}
		}
		wait, err := strconv.Atoi(r.header.Get("Retry-After"))
		reset, _ := strconv.ParseInt(r.header.Get("RateLimit-Reset"), 10, 64)
		if err != nil || wait < 1 || wait > int(c.window.Seconds()) || reset <= h.clock.Now().Unix()-1 || reset > h.clock.Now().Add(c.window).Unix()+1 {
			t.Errorf("%s: Retry-After %d, reset in %d s", c.method, wait, reset-h.clock.Now().Unix())
		}
		// Another tenant counts for itself.
		h.clock.add(time.Duration(wait) * time.Second)
		if r := c.call(n, addr); r.status == 429 {
			t.Errorf("%s: refused in the next window", c.method)
		}
	}
}

func TestWriteLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "1") // 50 points an hour
	calls := 0
	write := func(method string, body obj) reply {
		calls++ // the limit of all calls is the address's, and would be the tighter one
		body["repo"] = alice.did
		return h.raw("POST", hostA, "/xrpc/com.atproto.repo."+method, body, bearer(alice.access), fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", calls))
	}
	left := func(r reply, want int) {
		t.Helper()
		want = min(want, 29) // the address's own limit is told when it is the tighter one
		if got := r.ok().header.Get("RateLimit-Remaining"); got != strconv.Itoa(want) {
			t.Errorf("%s: remaining %q, want %d", r.what, got, want)
		}
	}
	one := obj{"n": 1}
	left(write("createRecord", obj{"collection": custom, "rkey": "one", "record": one}), 47)
	left(write("putRecord", obj{"collection": custom, "rkey": "one", "record": obj{"n": 2}}), 45)
	left(write("deleteRecord", obj{"collection": custom, "rkey": "one"}), 44)
	left(write("applyWrites", obj{"writes": list{createOp(custom, "a", one), createOp(custom, "b", one)}}), 38)
	left(write("applyWrites", obj{"writes": list{updateOp(custom, "a", obj{"n": 2}), deleteOp(custom, "b")}}), 35)
	for n := 32; n > 0; n -= 3 {
		left(write("createRecord", obj{"collection": custom, "record": obj{"n": n}}), n)
	}
	write("createRecord", obj{"collection": custom, "record": one}).fails(429, "RateLimitExceeded", "")
	write("deleteRecord", obj{"collection": custom, "rkey": "a"}).ok() // cheap enough
	h.check()
}

func TestGlobalLimitAndBypass(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sum := sha256.Sum256([]byte("let me in, please"))
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "1", "rate_limit_bypass_addresses", "198.51.100.0/24,192.0.2.7", "rate_limit_bypass_sha256", hex.EncodeToString(sum[:]))
	ask := func(headers ...string) reply {
		return h.raw("GET", hostA, "/xrpc/com.atproto.server.describeServer", nil, headers...)
	}
	// Of IPv6 a network counts as one.
	for i := range 30 {
		ask(fmt.Sprintf("X-Forwarded-For: 2001:db8:1:2::%x", i)).ok()
	}
	r := ask("X-Forwarded-For: 2001:db8:1:2:ffff::1")
	r.fails(429, "RateLimitExceeded", "")
	if r.header.Get("Retry-After") == "" || r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", r.header)
	}
	ask("X-Forwarded-For: 2001:db8:1:3::1").ok()
	h.raw("GET", hostA, "/xrpc/_health", nil, "X-Forwarded-For: 2001:db8:1:2::1").ok()
	h.raw("GET", hostA, "/xrpc/com.example.unknown", nil, "X-Forwarded-For: 2001:db8:1:2::1").fails(429, "RateLimitExceeded", "")
	for _, free := range []string{"X-Ratelimit-Bypass: let me in, please", "X-Nothing: x"} {
		addr := "X-Forwarded-For: 192.0.2.7"
		if strings.HasPrefix(free, "X-Rate") {
			addr = "X-Forwarded-For: 2001:db8:1:2::1"
		}
		for range 40 {
			if r := ask(addr, free).ok(); r.header.Get("RateLimit-Limit") != "" {
				t.Errorf("headers without a limit: %v", r.header)
			}
		}
	}
	ask("X-Forwarded-For: 198.51.100.9").ok()
	ask("X-Forwarded-For: 2001:db8:1:2::1", "X-Ratelimit-Bypass: wrong").fails(429, "RateLimitExceeded", "")
	// Other tenants are not concerned, and a setting is live at once.
	h.raw("GET", hostB, "/xrpc/com.atproto.server.describeServer", nil, "X-Forwarded-For: 2001:db8:1:2::1").ok()
	h.set(hostA, "rate_limits", "off")
	ask("X-Forwarded-For: 2001:db8:1:2::1").ok()
	// Guessing the operator's password.
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "100")
	for range 30 {
		h.get(hostA, "com.atproto.admin.getInviteCodes", basic("admin", "wrong")).fails(401, "AuthenticationRequired", "")
	}
	h.get(hostA, "com.atproto.admin.getInviteCodes", basic("admin", "wrong")).fails(429, "RateLimitExceeded", "")
}

// Many sign-ins at once are counted before they hash: no more passwords are tried than one after the other, and the
// right one gets in when they are over.
func TestPasswordGuessingAtOnce(t *testing.T) {
	h := newHouse(t)
	h.createAccount(hostA, "alice")
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "100000")
	signIn := func(who, password string) reply {
		return h.raw("POST", hostA, "/xrpc/com.atproto.server.createSession", obj{"identifier": who, "password": password}, "X-Forwarded-For: 203.0.113.1")
	}
	for _, c := range []struct {
		who  func(int) string
		free int
	}{
		{func(int) string { return "alice." + hostA }, pairFree},
		{func(i int) string { return fmt.Sprintf("nobody%d.%s", i, hostA) }, addressFree - pairFree},
	} {
		var tried, waits, others atomic.Int64
		var wg sync.WaitGroup
		for i := range 120 {
			wg.Go(func() {
				switch r := signIn(c.who(i), "wrong"); r.status {
				case 401:
					tried.Add(1)
				case 429:
					waits.Add(1)
				default:
					others.Add(1) // as many wait for a hash as may
				}
			})
		}
		wg.Wait()
		t.Logf("%d passwords were tried, %d had to wait, %d others", tried.Load(), waits.Load(), others.Load())
		if n := tried.Load(); n > int64(c.free) || n == 0 || waits.Load() == 0 {
			t.Errorf("%d passwords were tried, want at most %d", n, c.free)
		}
	}
	h.clock.add(time.Hour)
	signIn("alice."+hostA, userPassword).ok()
}

// Wrong passwords: an address waits longer each time, another address does not, and unknown accounts look the same.
func TestPasswordGuessing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createAccount(hostA, "alice")
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "100000")
	signIn := func(who, password, addr string) reply {
		return h.raw("POST", hostA, "/xrpc/com.atproto.server.createSession", obj{"identifier": who, "password": password}, "X-Forwarded-For: "+addr)
	}
	for _, who := range []string{"alice." + hostA, "nobody." + hostA} {
		var waits []string
		for i := range 8 {
			r := signIn(who, "wrong", "203.0.113.1")
			if i < pairFree {
				r.fails(401, "AuthenticationRequired", "Invalid identifier or password")
				continue
			}
			r.fails(429, "RateLimitExceeded", "")
			wait, err := strconv.Atoi(r.header.Get("Retry-After"))
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, strconv.Itoa(wait))
			h.clock.add(time.Duration(wait) * time.Second)
			signIn(who, "wrong", "203.0.113.1").fails(401, "AuthenticationRequired", "")
		}
		if got := strings.Join(waits, " "); got != "1 2 4" {
			t.Errorf("%s: waits %s", who, got)
		}
		signIn(who, userPassword, "203.0.113.1").fails(429, "RateLimitExceeded", "")
	}
	signIn("alice."+hostA, userPassword, "203.0.113.2").ok()
	h.clock.add(16 * time.Minute)
	signIn("alice."+hostA, userPassword, "203.0.113.1").ok() // and with it the failures are forgotten
	signIn("alice."+hostA, "wrong", "203.0.113.1").fails(401, "AuthenticationRequired", "")
	signIn("alice."+hostA, userPassword, "203.0.113.1").ok()
}
