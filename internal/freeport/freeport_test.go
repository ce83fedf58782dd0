package freeport

import (
	"net"
	"testing"
)

// Each address is given once, and none at which somebody listens.
func TestAddress(t *testing.T) {
	given := map[string]bool{}
	for range 50 {
		addr, err := Address()
		if err != nil || given[addr] {
			t.Fatal(addr, err)
		}
		given[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		mu.Lock()
		next = (next + count - 1) % count // as if it had gone round
		mu.Unlock()
	}
}
