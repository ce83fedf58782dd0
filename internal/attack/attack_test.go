package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLook: what the program says of a server is what the kernel says, on a connection of this process.
func TestLook(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		return // the program is for Linux
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := &field{addr: l.Addr().String(), pid: os.Getpid()}
	load := newLoad(t.Context())
	load.each(3, func(int) {
		if c := load.dial(f); c != nil {
			drain(c)
		}
	})
	var served []net.Conn
	for range 3 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		served = append(served, c)
	}
	if open, memory, err := f.look(); open != 3 || memory < 1<<20 || err != nil {
		t.Error(open, memory, err)
	}
	load.close() // what the clients have closed and the server not is open, too
	if open, _, err := f.look(); open != 3 || err != nil {
		t.Error(open, err)
	}
	for _, c := range served {
		_ = c.Close()
	}
	if open, _, err := f.look(); open != 0 || err != nil {
		t.Error(open, err)
	}
}

func TestCountOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tcp")
	text := "  sl  local_address rem_address   st\n" +
		"   0: 0100007F:1F90 00000000:0000 0A\n   1: 0100007F:1F90 0100007F:D431 01\n" +
		"   2: 0100007F:1F90 0100007F:D432 08\n   3: 0100007F:D431 0100007F:1F90 01\n   4: 0100007F:1F90 0100007F:D433 06\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := countOpen(name, 8080); n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestRounds(t *testing.T) {
	all, err := rounds(options{}, nil)
	if err != nil || len(all) != len(classes) {
		t.Error(len(all), err)
	}
	short, err := rounds(options{short: true}, nil)
	if err != nil || len(short) != 1 || len(short[0].classes) < 5 {
		t.Error(short, err)
	}
	if _, err := rounds(options{}, []string{"nonsense"}); err == nil {
		t.Error("a class that there is not")
	}
	if p := percentile99([]time.Duration{3 * time.Millisecond, time.Millisecond}); p != 3 {
		t.Error(p)
	}
	if _, err := enter(context.Background(), options{addr: "192.0.2.1:80", pid: 1}); err == nil {
		t.Error("a server that is not on loopback")
	}
}
