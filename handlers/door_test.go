package handlers

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/fair"
)

// While one tenant's readers keep all processors busy and another tenant is there, fewer of the first are let in. Nobody
// is refused or told anything wrong for it, and a subscriber gets every event, in its order; and the first has all
// processors again when it is alone.
func TestDoorHoldsBackWhoIsLoud(t *testing.T) {
	h := newHouse(t)
	loud, quiet := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	loud.create("com.example.post", "k", exampleRecord("loud")).ok()
	quiet.create("com.example.post", "k", exampleRecord("quiet")).ok()
	hose := h.hose(hostA, "")
	var over atomic.Bool
	var readers sync.WaitGroup
	for range min(32*runtime.GOMAXPROCS(0), 512) { // more would not be let wait
		readers.Go(func() {
			for !over.Load() {
				r, err := h.try("GET", hostA, "/xrpc/com.atproto.repo.getRecord?repo="+loud.did+"&collection=com.example.post&rkey=k", nil)
				if err != nil || r.status != 200 {
					t.Errorf("%v %d %s", err, r.status, r.body)
					return
				}
			}
		})
	}
	until := func(what string, is func(fair.Stats) bool, meanwhile func()) {
		for began := time.Now(); !is(h.server.DoorStats()); meanwhile() {
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: %+v", what, h.server.DoorStats())
			}
		}
	}
	until("nobody waits", func(s fair.Stats) bool { return s.Size > 0 && s.Waiting > 0 }, func() { quiet.read("com.example.post", "k").ok() })
	for i := range 20 {
		loud.create("com.example.post", fmt.Sprint(i), exampleRecord("held back")).ok()
		quiet.read("com.example.post", "k").ok()
	}
	var last int64
	for i := range 20 {
		f := hose.frame()
		if f.Seq <= last || f.Ops[0].Path != "com.example.post/"+fmt.Sprint(i) {
			t.Fatalf("event %d: %+v", i, f)
		}
		last = f.Seq
	}
	// The quiet tenant asks nothing any more.
	until("the only tenant waits", func(s fair.Stats) bool { return s.Size == 0 && s.Waiting == 0 }, func() { time.Sleep(time.Millisecond) })
	over.Store(true)
	readers.Wait()
	if s := h.server.DoorStats(); s.Used != 0 || s.Waiting != 0 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}
