package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// load is the clients of one class while they attack.
type load struct {
	ctx     context.Context
	cancel  context.CancelFunc
	mayStay bool // the server need not close these: they leave by themselves

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func newLoad(ctx context.Context) *load {
	l := &load{conns: map[net.Conn]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// close ends all clients.
func (l *load) close() {
	l.cancel()
	l.mu.Lock()
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// each runs a client n times at once, until it returns or the load is closed.
func (l *load) each(n int, client func(i int)) {
	for i := range n {
		l.wg.Go(func() { client(i) })
	}
}

// hold runs a client on each of n connections, which are opened over some time, not all in one moment.
func (l *load) hold(f *field, n int, client func(i int, c net.Conn)) {
	l.each(n, func(i int) {
		wait(l.ctx, time.Duration(rand.Int64N(int64(2*time.Second))))
		if c := l.dial(f); c != nil {
			defer l.drop(c)
			client(i, c)
		}
	})
}

// dial opens a connection to the server that ends with the load; nil when there is none.
func (l *load) dial(f *field) net.Conn {
	var d net.Dialer
	d.Timeout = 5 * time.Second
	c, err := d.DialContext(l.ctx, "tcp", f.addr)
	if err != nil {
		return nil // refused: that is the server's right
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		_ = c.Close()
		return nil
	}
	l.conns[c] = struct{}{}
	return c
}

// drop closes a connection.
func (l *load) drop(c net.Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	_ = c.Close()
}

// request writes a request's head; headers are whole lines.
func request(c net.Conn, line, host string, headers ...string) bool {
	_, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", line, host, strings.Join(append(headers, "X-Attack: yes"), "\r\n"))
	return err == nil
}

// drain reads what comes until the end, as an ordinary client does.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// sip reads so many bytes each second, until the end.
func (l *load) sip(c net.Conn, bytes int) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	buf := make([]byte, max(bytes, 1))
	for l.ctx.Err() == nil {
		if bytes > 0 {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
		wait(l.ctx, time.Second)
	}
}

// from is a header that names one of n addresses: the server stands behind this machine as behind a proxy.
func from(i, n int) string { return fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", 1+i%max(1, n)) }
