package dbtest

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and Postgres, counts round trips and cuts connections at the worst moments.
type Proxy struct {
	server string // path of the server's socket
	url    string

	mu    sync.Mutex
	conns map[net.Conn]bool
	trips int64
	cut   int64 // when trips gets here; 0: never
	lost  bool  // the request of that trip goes through, only its answer is lost
	cuts  int64
	down  bool
}

// NewProxy makes a proxy in front of the server and database of a URL that [URL] or [Server.URL] gave.
func NewProxy(t testing.TB, serverURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p := &Proxy{server: filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port")), conns: map[net.Conn]bool{}}
	dir, err := os.MkdirTemp("", "px") // t.TempDir's path is too long for a socket
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
		p.CutAll()
		wg.Wait()
		_ = os.RemoveAll(dir)
	})
	q.Set("host", dir)
	q.Set("port", "5432")
	u.RawQuery = q.Encode()
	p.url = u.String()
	return p
}

// URL is where the database is behind the proxy.
func (p *Proxy) URL() string { return p.url }

// CutBefore cuts the connection of the n-th round trip from now before its request is complete: it cannot happen.
func (p *Proxy) CutBefore(n int) { p.arm(n, false) }

// CutAfter cuts the connection of the n-th round trip from now after its request was sent: it happens, and the answer
// is lost.
func (p *Proxy) CutAfter(n int) { p.arm(n, true) }

func (p *Proxy) arm(n int, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.lost = p.trips+int64(n), lost
}

// Disarm takes back what CutBefore and CutAfter said, and tells how often a connection was cut so far.
func (p *Proxy) Disarm() (cuts int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = 0
	return p.cuts
}

// Trips is the number of round trips so far.
func (p *Proxy) Trips() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

// Down cuts all connections and refuses new ones until it is called with false.
func (p *Proxy) Down(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.CutAll()
	}
}

// CutAll cuts all connections there are.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	down := p.down
	p.conns[client] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
		_ = client.Close()
	}()
	if down {
		return
	}
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return
	}
	muted := make(chan struct{})
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			select {
			case <-muted:
			default:
				if n > 0 {
					if _, err := client.Write(buf[:n]); err != nil {
						return
					}
				}
			}
			if err != nil {
				return
			}
		}
	}()
	if p.requests(client, server, func() { close(muted); _ = client.Close() }) {
		time.Sleep(50 * time.Millisecond) // the server finishes what it has before it sees that nobody is there
	}
	_ = server.Close()
	<-answers
}

// requests forwards the client's messages until an end or a fault; lost says that the last answer was lost on purpose.
func (p *Proxy) requests(client, server net.Conn, mute func()) (lost bool) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(client, head[:4]); err != nil { // the startup message has no type
		return false
	}
	if !forward(client, server, head[:4]) {
		return false
	}
	for {
		if _, err := io.ReadFull(client, head); err != nil {
			return false
		}
		if head[0] == 'S' || head[0] == 'Q' { // the end of a request
			switch p.trip() {
			case cutNow:
				return false
			case cutAnswer:
				rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
				if _, err := io.ReadFull(client, rest); err != nil {
					return false
				}
				mute() // before the server can answer
				_, _ = server.Write(append(head, rest...))
				return true
			}
		}
		if !forward(client, server, head) {
			return false
		}
	}
}

// What happens at a trip.
type fate int

const (
	pass fate = iota
	cutNow
	cutAnswer
)

func (p *Proxy) trip() fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips++
	if p.cut == 0 || p.trips < p.cut {
		return pass
	}
	p.cut = 0
	p.cuts++
	if p.lost {
		return cutAnswer
	}
	return cutNow
}

// forward passes a message on whose head has been read: its length is the head's last four bytes.
func forward(client, server net.Conn, head []byte) bool {
	if _, err := server.Write(head); err != nil {
		return false
	}
	_, err := io.CopyN(server, client, int64(binary.BigEndian.Uint32(head[len(head)-4:]))-4)
	return err == nil
}
