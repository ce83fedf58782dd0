package main

import (
	"context"
	"io"
	"net"
	"time"
)

// slowHeads opens connections and says nothing, or a request's head a letter at a time.
var slowHeads = class{
	name: "heads", what: "says nothing, or the head of a request a letter a second",
	clients: 500, short: 100, gone: 20 * time.Second,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.hold(f, n, func(i int, c net.Conn) {
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				drain(c)
			}()
			for _, letter := range "GET / HTTP/1.1\r\nHost: x\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
				select {
				case <-gone:
					return
				case <-l.ctx.Done():
					return
				case <-time.After(time.Second):
					if i%2 == 0 {
						_, _ = io.WriteString(c, string(letter))
					}
				}
			}
			<-gone
		})
		return l, nil
	},
}

// idleConnections asks once and stays: the server may keep such connections while it has room for others.
var idleConnections = class{
	name: "idle", what: "asks once on each of many connections, and keeps them",
	clients: 2000, short: 200, gone: 15 * time.Second,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.mayStay = true
		l.hold(f, n, func(i int, c net.Conn) {
			if request(c, "GET /robots.txt", f.hostA, from(i, 50)) {
				drain(c)
			}
		})
		return l, nil
	},
}
