// Package freeport gives addresses to servers that tests and measuring programs start as processes of their own.
//
// A port that the system chose and that was closed again is the system's to give to any other connection until the server
// takes it. The ports of this package lie below those that systems choose from (32768 and up on Linux, 49152 on macOS), and a
// process gives each once.
package freeport

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
)

const (
	first = 20000
	count = 12000
	apart = 97 // ports between processes that started one after the other
)

var (
	mu   sync.Mutex
	next = os.Getpid() * apart % count
)

// Address is one of loopback, such as 127.0.0.1:20485, at which nobody listens now.
func Address() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	for range count {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+next))
		next = (next + 1) % count
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port of loopback is free")
}
