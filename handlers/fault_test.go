package handlers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
)

// faultyHouse is a house whose database is behind a proxy that cuts connections.
func faultyHouse(t *testing.T) (*house, *dbtest.Proxy) {
	t.Helper()
	p := dbtest.NewProxy(t, dbtest.URL(t))
	h := newHouseWith(t, houseOptions{url: p.URL()})
	h.log.allowed.Store(true) // what is hidden from the client is logged
	return h, p
}

// outcome is what an answer lets the client believe.
type outcome int

const (
	happened outcome = iota
	didNot
	unknown
)

func (o outcome) String() string { return []string{"happened", "did not", "unknown"}[o] }

// outcome of a write, which must be one of three: done, not done and told so, not known and told so.
func (r reply) outcome() outcome {
	r.t.Helper()
	var e struct{ Error, Message string }
	if r.status != 200 {
		if err := json.Unmarshal(r.body, &e); err != nil {
			r.t.Errorf("%s: %d %.300q", r.what, r.status, r.body)
		}
	}
	switch {
	case r.status == 200:
		return happened
	case r.status == http.StatusServiceUnavailable && e.Error == "UnknownOutcome":
		r.wanted(r.status, e.Error)
		return unknown
	case r.status == http.StatusServiceUnavailable && e.Error == "NotEnoughResources":
		return didNot
	}
	r.t.Errorf("%s: %d %.300s", r.what, r.status, r.body)
	return unknown
}

// believe compares what an answer said with what is there.
func believe(t *testing.T, what string, said outcome, is bool) {
	t.Helper()
	if said == happened && !is || said == didNot && is {
		t.Errorf("%s: the answer said %s, and it is there: %v", what, said, is)
	}
}

// TestFaultInEveryTrip cuts each round trip to the database of each write once before it can happen and once after it
// has, and looks whether the answer was true, the repository whole and the server in working order again.
func TestFaultInEveryTrip(t *testing.T) {
	t.Parallel()
	h, p := faultyHouse(t)
	alice := h.createAccount(hostA, "alice")
	there := func(rkey string) bool {
		t.Helper()
		r := alice.read(custom, rkey)
		if r.status != 200 {
			r.fails(400, "RecordNotFound", "")
		}
		return r.status == 200
	}
	writes := []struct {
		what  string
		do    func(rkey string) reply
		found func(rkey string) bool
	}{
		{"createRecord", func(k string) reply { return alice.create(custom, k, obj{}) }, there},
		{"putRecord", func(k string) reply { return alice.put(custom, k, obj{}) }, there},
		{"applyWrites", func(k string) reply { return alice.apply(createOp(custom, k, obj{}), createOp(custom, k+"-2", obj{})) }, func(k string) bool {
			one, two := there(k), there(k+"-2")
			if one != two {
				t.Errorf("half of a batch happened: %v %v", one, two)
			}
			return one
		}},
		{"deleteRecord", func(k string) reply { return alice.del(custom, k) }, func(k string) bool { return !there(k) }},
		{"createInviteCode", func(string) reply {
			return h.post(hostA, "com.atproto.server.createInviteCode", asAdmin(), obj{"useCount": 1})
		}, nil},
		{"createSession", func(string) reply {
			return h.post(hostA, createSession, "", obj{"identifier": alice.did, "password": userPassword})
		}, nil},
		{"refreshSession", func(string) reply { return h.post(hostA, refreshSession, bearer(alice.refresh), nil) }, nil},
		{"deleteSession", func(string) reply { return h.post(hostA, deleteSession, bearer(alice.refresh), nil) }, nil},
	}
	cuts := int64(0)
	seen := map[outcome]int{}
	for _, w := range writes {
		for trip := 1; ; trip++ {
			before := cuts
			for _, lost := range []bool{false, true} {
				rkey := fmt.Sprintf("%s-%d-%v", w.what, trip, lost)
				if w.what == "deleteRecord" {
					alice.put(custom, rkey, obj{"n": trip}).ok()
				}
				if lost {
					p.CutAfter(trip)
				} else {
					p.CutBefore(trip)
				}
				r := w.do(rkey)
				cuts = p.Disarm()
				said := r.outcome()
				seen[said]++
				if w.found != nil {
					believe(t, rkey, said, w.found(rkey))
				}
				// It works again by itself, at once.
				if r := alice.put(custom, "after", obj{"n": rkey}); r.status != 200 {
					t.Errorf("after %s: %d %s", rkey, r.status, r.body)
				}
			}
			if cuts == before || trip > 20 {
				break // this write makes no more trips than that
			}
		}
		h.check()
	}
	if cuts < 16 || seen[unknown]+seen[didNot] == 0 {
		t.Errorf("only %d connections cut, outcomes %v", cuts, seen)
	}
	t.Logf("%d connections cut, outcomes %v", cuts, seen)
}

// TestFaultInSignup cuts each round trip of a sign-up: either there is an account that works in all its parts, or there
// is none, and the name can be had (at once, or when the leftovers are stale).
func TestFaultInSignup(t *testing.T) {
	t.Parallel()
	h, p := faultyHouse(t)
	h.createAccount(hostA, "first")
	cuts := int64(0)
	for trip := 1; trip < 40; trip++ {
		before := cuts
		for _, lost := range []bool{false, true} {
			label := fmt.Sprintf("user%d%v", trip, lost)
			in := obj{"handle": label + ".a.test", "email": h.email(label), "password": userPassword}
			if lost {
				p.CutAfter(trip)
			} else {
				p.CutBefore(trip)
			}
			r := h.post(hostA, createAccount, "", in)
			cuts = p.Disarm()
			said := happened
			if r.status != 200 {
				if r.status != 503 && r.status != 502 {
					t.Errorf("%s: %d %s", label, r.status, r.body)
				}
				said = unknown
				if strings.Contains(string(r.body), "NotEnoughResources") {
					said = didNot
				}
			}
			find := h.get(hostA, "com.atproto.identity.resolveHandle", "", "handle", label+".a.test")
			believe(t, label, said, find.status == 200)
			if find.status != 200 {
				if r = h.post(hostA, createAccount, "", in); r.status != 200 {
					h.clock.add(6 * time.Minute) // somebody else's unfinished sign-up until then
					r = h.post(hostA, createAccount, "", in)
				}
				r.ok()
			}
			s := h.post(hostA, createSession, "", obj{"identifier": label + ".a.test", "password": userPassword}).ok()
			u := &user{h, hostA, s.str("did"), label, s.str("accessJwt"), s.str("refreshJwt")}
			u.create(custom, "x", obj{}).ok()
			h.archive(u)
		}
		if cuts == before {
			break
		}
	}
	h.check()
	if cuts < 10 {
		t.Errorf("only %d connections cut", cuts)
	}
	t.Logf("%d connections cut", cuts)
}

// TestFaultsUnderLoad cuts connections at random while several accounts write: every acknowledged write is there, once.
func TestFaultsUnderLoad(t *testing.T) {
	t.Parallel()
	h, p := faultyHouse(t)
	users := []*user{h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob"), h.createAccount(hostB, "alice")}
	type claim struct {
		u    *user
		rkey string
		said outcome
	}
	var mu sync.Mutex
	var claims []claim
	var stop atomic.Bool
	var through atomic.Int64 // writes acknowledged
	var wg, cutter sync.WaitGroup
	cutter.Go(func() {
		rng := rand.New(rand.NewPCG(1, 2))
		for last := int64(-1); !stop.Load(); {
			// On a busy machine a cut every few milliseconds would let nothing through, and so test nothing.
			if now := through.Load(); now == last {
				p.Disarm()
				time.Sleep(time.Millisecond)
				continue
			} else if rng.IntN(4) == 0 {
				last = now
			}
			switch n := 1 + rng.IntN(10); rng.IntN(3) {
			case 0:
				p.CutBefore(n)
			case 1:
				p.CutAfter(n)
			case 2:
				p.CutAll()
			}
			time.Sleep(time.Duration(1+rng.IntN(8)) * time.Millisecond)
		}
	})
	for i, u := range users {
		for worker := range 2 {
			wg.Go(func() {
				for n := range 40 {
					rkey := fmt.Sprintf("k%d-%d-%d", i, worker, n)
					r := u.create(custom, rkey, obj{"n": n})
					if r.status == 400 && strings.Contains(string(r.body), "RecordAlreadyExists") {
						t.Errorf("%s: a write was made twice", rkey)
					}
					said := r.outcome()
					if said == happened {
						through.Add(1)
					}
					mu.Lock()
					claims = append(claims, claim{u, rkey, said})
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	stop.Store(true)
	cutter.Wait()
	cuts := p.Disarm()
	h.check()
	count := map[outcome]int{}
	for _, c := range claims {
		count[c.said]++
		believe(t, c.rkey, c.said, c.u.read(custom, c.rkey).status == 200)
	}
	t.Logf("%d connections cut at a trip; %v", cuts, count)
	if count[happened] == 0 {
		t.Error("nothing got through")
	}
	for _, u := range users {
		u.create(custom, "after", obj{}).ok()
	}
	h.check()
}

// TestDatabaseGone: while it is down every method says so, in time and by name, and afterwards all works without help.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	h, p := faultyHouse(t)
	alice := h.createAccount(hostA, "alice")
	alice.put(custom, "before", obj{}).ok()
	for range 2 {
		p.Down(true)
		h.clock.add(time.Hour) // nothing is answered from memory only because it is young
		if r := h.raw("GET", hostA, "/xrpc/_health", nil); r.status != 503 || r.str("error") == "" || r.str("version") != "test" {
			t.Errorf("health: %d %s", r.status, r.body)
		}
		for _, nsid := range h.sorted() {
			op := h.server.Operations[nsid]
			if strings.HasPrefix(nsid, "com.atproto.identity.resolve") || strings.HasPrefix(nsid, "com.atproto.identity.refresh") {
				continue // they may ask elsewhere
			}
			var body any
			if op.Input == "application/json" {
				in := h.goodBody(nsid)
				if _, ok := in["repo"]; ok {
					in["repo"] = alice.did
				}
				body = in
			}
			began := time.Now()
			r := h.raw(op.Kind.Verb(), hostA, "/xrpc/"+nsid+h.goodQuery(nsid), body, h.credentials(nsid, alice))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s took %v to say that the database is gone", nsid, took)
			}
			if r.status == 500 {
				t.Errorf("%s: %d %s", nsid, r.status, r.body)
			}
			if r.status == 503 {
				r.fails(503, "NotEnoughResources", "")
			}
		}
		alice.create(custom, "", obj{}).fails(503, "NotEnoughResources", "The database cannot be reached")
		p.Down(false)
		alice.create(custom, "", obj{}).ok()
		if r := h.raw("GET", hostA, "/xrpc/_health", nil).ok(); r.at("error") != nil {
			t.Errorf("%s", r.body)
		}
		s := h.post(hostA, createSession, "", obj{"identifier": alice.did, "password": userPassword}).ok()
		alice.access = s.str("accessJwt")
		h.check()
	}
}

// TestDatabaseKilled kills Postgres itself in the middle of writes, and starts it again.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	server := dbtest.Durable(t)
	d, err := db.Open(t.Context(), db.Config{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.MigrateControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Close()
	h := newHouseWith(t, houseOptions{url: server.URL()})
	h.log.allowed.Store(true)
	alice := h.createAccount(hostA, "alice")
	said := map[string]outcome{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done atomic.Int64
	var stop atomic.Bool
	for worker := range 3 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				rkey := fmt.Sprintf("k%d-%d", worker, n)
				o := alice.create(custom, rkey, obj{"n": n}).outcome()
				mu.Lock()
				said[rkey] = o
				mu.Unlock()
				done.Add(1)
			}
		})
	}
	for done.Load() < 40 {
		time.Sleep(time.Millisecond)
	}
	server.Kill()
	server.Start() // writes that were on their way find out what became of them
	stop.Store(true)
	wg.Wait()
	deadline := time.Now().Add(time.Minute)
	for alice.create(custom, "", obj{}).status != 200 {
		if time.Now().After(deadline) {
			t.Fatal("the server does not find its database again")
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.check()
	count := map[outcome]int{}
	for rkey, o := range said {
		count[o]++
		believe(t, rkey, o, alice.read(custom, rkey).status == 200)
	}
	t.Logf("%v", count)
}
