package db_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a client and Postgres and can cut the connection after a request went through, so that only the
// answer is lost.
type proxy struct {
	server string // socket path
	url    string
	cut    atomic.Pointer[[]byte] // after a request that contains this, drop the answer
	down   atomic.Bool            // refuse and cut everything

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, serverURL string) *proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p := &proxy{conns: make(map[net.Conn]bool)}
	p.server = filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port"))
	dir, err := os.MkdirTemp("", "px")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cutAll()
		wg.Wait()
		os.RemoveAll(dir)
	})
	q.Set("host", dir)
	q.Set("port", "5432")
	u.RawQuery = q.Encode()
	p.url = u.String()
	return p
}

// cutAfter cuts the next connection on which a request with text goes to the server, once.
func (p *proxy) cutAfter(text string) { b := []byte(text); p.cut.Store(&b) }

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if p.down.Load() {
		return
	}
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client] = true
	p.mu.Unlock()
	defer func() { p.mu.Lock(); delete(p.conns, client); p.mu.Unlock() }()

	var mute atomic.Bool
	done := make(chan struct{})
	go func() { // answers
		defer close(done)
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if mute.Load() {
				// The server has done what it was asked, and its answer ends here.
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if text := p.cut.Load(); text != nil && bytes.Contains(buf[:n], *text) {
			p.cut.Store(nil)
			mute.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil && err != io.EOF {
			break
		}
	}
	server.Close()
	<-done
}
