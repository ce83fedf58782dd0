package repodb

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a store and Postgres, counts round trips and cuts the
// connection at the worst moments.
type proxy struct {
	server string // socket path
	url    string

	trips  atomic.Int64 // Sync and Query messages of clients
	cuts   atomic.Int64
	groups atomic.Int64 // those that ended a batch of several statements
	fault  atomic.Int32 // at the next group, once

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// What happens to the next group.
const (
	faultNone   = iota
	faultBefore // the connection dies before the group is complete: it cannot happen
	faultAfter  // the connection dies after the group was sent: it happens, the answer is lost
)

func newProxy(t testing.TB, serverURL string) *proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p := &proxy{
		server: filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port")),
		conns:  map[net.Conn]bool{},
	}
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
		_ = l.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
		_ = os.RemoveAll(dir)
	})
	q.Set("host", dir)
	q.Set("port", "5432")
	u.RawQuery = q.Encode()
	p.url = u.String()
	return p
}

func (p *proxy) track(c net.Conn, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.conns[c] = true
	} else {
		delete(p.conns, c)
		_ = c.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	p.track(client, true)
	p.track(server, true)
	defer p.track(client, false)
	answers := make(chan struct{})
	var mute atomic.Bool
	go func() {
		defer close(answers)
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 && !mute.Load() {
				if _, err := client.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		_ = client.Close()
	}()
	p.requests(client, server, &mute)
	if mute.Load() {
		// The server goes on with what it has; it notices later that nobody is there.
		time.Sleep(50 * time.Millisecond)
	}
	p.track(server, false)
	<-answers
}

// requests forwards the client's messages until an end or a fault.
func (p *proxy) requests(client, server net.Conn, mute *atomic.Bool) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(client, head[:4]); err != nil { // the startup message has no type
		return
	}
	if !forward(client, server, head[:4], int(binary.BigEndian.Uint32(head))-4) {
		return
	}
	executes := 0
	for {
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		switch head[0] {
		case 'E':
			executes++
		case 'S', 'Q':
			p.trips.Add(1)
			if executes > 2 {
				p.groups.Add(1)
				switch p.fault.Swap(faultNone) {
				case faultBefore:
					p.cuts.Add(1)
					return
				case faultAfter:
					p.cuts.Add(1)
					mute.Store(true)
					forward(client, server, head, int(binary.BigEndian.Uint32(head[1:]))-4)
					_ = client.Close()
					return
				}
			}
			executes = 0
		}
		if !forward(client, server, head, int(binary.BigEndian.Uint32(head[1:]))-4) {
			return
		}
	}
}

func forward(client, server net.Conn, head []byte, n int) bool {
	if _, err := server.Write(head); err != nil {
		return false
	}
	_, err := io.CopyN(server, client, int64(n))
	return err == nil
}
