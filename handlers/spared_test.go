package handlers

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// Files that an account's records wait for are taken beyond the limit of uploads and cost nothing; nothing else is.
func TestUploadsThatAreAwaited(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	aid := h.aid(h.a, alice.did)
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "1") // 10 uploads a day, one miss
	wait := func(n int) []byte {
		data := fmt.Appendf(nil, "file %d", n)
		h.exec(h.a, "INSERT INTO pds.record_blob (aid, cid, path, rev, mime_type) VALUES ($1, $2, $3, 1, '')", aid, dagcbor.RawCID(data).Bytes(), fmt.Sprintf("com.example.x/%d", n))
		return data
	}
	calls := 0
	upload := func(data []byte) reply {
		calls++
		return alice.upload(data, fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", calls))
	}
	left := func(r reply, want int) {
		t.Helper()
		if got := r.ok().header.Get("RateLimit-Remaining"); got != strconv.Itoa(want) {
			t.Errorf("%s left by the headers, want %d", got, want)
		}
	}
	left(upload(wait(0)), 10) // given back
	for n := range 10 {
		left(upload(fmt.Appendf(nil, "mine %d", n)), 9-n)
	}
	upload([]byte("one too many")).fails(429, "RateLimitExceeded", "") // nothing is missing: a miss
	h.set(hostA, "rate_limit_percent", "2")                            // 20 uploads, two misses
	for n := range 10 {
		left(upload(fmt.Appendf(nil, "more %d", n)), 9-n)
	}
	one, two := wait(1), wait(2)
	left(upload(one), 0)
	r := upload([]byte("nobody waits for this"))
	r.fails(429, "RateLimitExceeded", "")
	if r.header.Get("Retry-After") == "" {
		t.Errorf("%v", r.header)
	}
	upload(two).fails(429, "RateLimitExceeded", "") // two misses: no more today
}

// Counting costs no round trip, and who is refused because of a wrong password caused the same work as who does not exist.
func TestLimitsCostNoTrips(t *testing.T) {
	t.Parallel()
	p := dbtest.NewProxy(t, dbtest.URL(t))
	h := newHouseWith(t, houseOptions{url: p.URL()})
	alice := h.createAccount(hostA, "alice")
	trips := func(call func()) int64 {
		call() // what is remembered from then on
		before := p.Trips()
		call()
		return p.Trips() - before
	}
	n := 0
	calls := map[string]func(){
		"createRecord": func() { n++; alice.create(custom, fmt.Sprint("k", n), obj{"n": n}).ok() },
		"uploadBlob":   func() { n++; alice.upload(fmt.Appendf(nil, "%d", n)).ok() },
		"getSession":   func() { alice.ask("com.atproto.server.getSession").ok() },
	}
	var want = map[string]int64{}
	for name, call := range calls {
		want[name] = trips(call)
	}
	h.set(hostA, "rate_limits", "on")
	for name, call := range calls {
		if got := trips(call); got != want[name] {
			t.Errorf("%s: %d round trips, %d without limits", name, got, want[name])
		}
	}
	refused := func(who string) func() {
		return func() {
			h.post(hostA, createSession, "", obj{"identifier": who, "password": "wrong"}).fails(401, "AuthenticationRequired", "Invalid identifier or password")
		}
	}
	if a, b := trips(refused(alice.handle)), trips(refused("nobody."+hostA)); a != b || a == 0 {
		t.Errorf("a wrong password takes %d round trips, an unknown account %d", a, b)
	}
}
