package xrpc

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/tenant"
)

// A relay follows any number of tenants from one address; at one tenant an address, a network of 64 bits and one of 48
// have their share; and no tenant has the last place of the process.
func TestPlacesOfSubscribers(t *testing.T) {
	proxies, err := inbound.ParseProxies("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	s := newSockets(nil, proxies, fair.NewDoor(2), time.Now)
	at := func(id int64, addr string) Visitor {
		schema, err := db.ParseSchema(fmt.Sprintf("t_%d", id))
		if err != nil {
			t.Fatal(err)
		}
		tn := &tenant.Tenant{ID: id, Schema: schema}
		tn.Settings.FirehoseSubscribersMax, tn.Settings.FirehoseSubscribersPerAddress = 1000, 50
		return Visitor{tn, &state{addr: netip.MustParseAddr(addr)}}
	}
	fill := func(id int64, addr func(n int) string) (n int) {
		for ; n < 1200; n++ {
			if _, full := s.Admit(at(id, addr(n))); full != nil {
				return n
			}
		}
		return n
	}
	relay := func(int) string { return "203.0.113.9" }
	for id := range int64(300) {
		if _, full := s.Admit(at(id, relay(0))); full != nil {
			t.Fatalf("the relay is refused at tenant %d: %v", id, full)
		}
	}
	if n := fill(0, relay); n != 49 {
		t.Errorf("an address has %d places", n+1)
	}
	if n := fill(1, func(n int) string { return fmt.Sprintf("2001:db8:1:2::%x", n) }); n != 50 {
		t.Errorf("a network of 64 bits has %d places", n)
	}
	if n := fill(2, func(n int) string { return fmt.Sprintf("2001:db8:1:%x::1", n) }); n != widerNetwork*50 {
		t.Errorf("a network of 48 bits has %d places", n)
	}
	if n := fill(3, func(n int) string { return fmt.Sprintf("2001:db8:%x::1", n) }); n != 999 {
		t.Errorf("a tenant has %d places", n+1)
	}
	if n := fill(4, func(n int) string { return "127.0.0.1" }); n != 999 { // a neighbour
		t.Errorf("a tenant has %d places", n+1)
	}
	for k := range s.open {
		s.Leave(k)
	}
	if len(s.from)+len(s.tenant) != 0 || s.places.Used() != 0 {
		t.Error(s.from, s.tenant, s.places.Used())
	}
}
