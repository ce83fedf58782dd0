package dbtest

import (
	"bytes"
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
	network string
	server  string // path of the server's socket
	url     string

	mu     sync.Mutex
	conns  map[net.Conn]bool
	trips  int64
	groups int64
	next   fault
	cuts   int64
	down   bool
	hole   chan struct{} // closed when the black hole ends; nil: there is none
}

// fault says which connections are cut.
type fault struct {
	cut  func(request) bool // in which requests; nil: none
	left int                // how often
	lost bool               // the request goes through, only its answer is lost
	dies bool               // the cut is the end of the process: nothing of it arrives any more
}

// request is what a client sends before it waits for an answer.
type request struct {
	trip     int64  // its number
	executes int    // prepared statements in it
	sent     []byte // its messages, as far as keepRequest
}

const (
	keepRequest = 64 << 10
	groupSize   = 3 // statements that make a group: a transaction of one statement has a BEGIN and a COMMIT at most
)

func (r request) group() bool { return r.executes >= groupSize }

// NewProxy makes a proxy in front of the server and database of a URL that [URL] or [Server.URL] gave.
func NewProxy(t testing.TB, serverURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p := &Proxy{network: "unix", server: filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port")), conns: map[net.Conn]bool{}}
	if q.Get("host") == "" {
		p.network, p.server = "tcp", u.Host
	}
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
		p.BlackHole(false)
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
func (p *Proxy) CutBefore(n int) { p.arm(fault{cut: p.trip(n), left: 1}) }

// CutAfter cuts the connection of the n-th round trip from now after its request was sent: it happens, and the answer
// is lost.
func (p *Proxy) CutAfter(n int) { p.arm(fault{cut: p.trip(n), left: 1, lost: true}) }

// CutGroupBefore is CutBefore for the next request of at least three statements.
func (p *Proxy) CutGroupBefore() { p.arm(fault{cut: request.group, left: 1}) }

// CutGroupAfter is CutAfter for the next request of at least three statements.
func (p *Proxy) CutGroupAfter() { p.arm(fault{cut: request.group, left: 1, lost: true}) }

// CutAfterText is CutAfter for the next request with a text in it, be it in SQL or in a parameter; with several texts, then
// for the next with the second, and so on.
func (p *Proxy) CutAfterText(texts ...string) {
	p.arm(fault{left: len(texts), lost: true, cut: func(r request) bool {
		if !bytes.Contains(r.sent, []byte(texts[0])) {
			return false
		}
		texts = texts[1:]
		return true
	}})
}

// DieBefore is CutBefore for a client that is killed at that moment: whatever it sends afterwards never arrives.
func (p *Proxy) DieBefore(n int) { p.arm(fault{cut: p.trip(n), left: 1, dies: true}) }

// DieAfter is DieBefore, but the request that it died in happens.
func (p *Proxy) DieAfter(n int) { p.arm(fault{cut: p.trip(n), left: 1, lost: true, dies: true}) }

// trip is a request some round trips from now.
func (p *Proxy) trip(n int) func(request) bool {
	at := p.Trips() + int64(n)
	return func(r request) bool { return r.trip >= at }
}

func (p *Proxy) arm(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = f
}

// Disarm takes back what the calls above said, and tells how often a connection was cut so far.
func (p *Proxy) Disarm() (cuts int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = fault{}
	return p.cuts
}

// Cuts tells how often a connection was cut so far.
func (p *Proxy) Cuts() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Groups is the number of requests of at least three statements so far.
func (p *Proxy) Groups() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.groups
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

// BlackHole swallows everything from now on, without a word to either side, until it is called with false: a network
// that drops all packets. What was swallowed never arrives.
func (p *Proxy) BlackHole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.hole == nil:
		p.hole = make(chan struct{})
	case !on && p.hole != nil:
		close(p.hole)
		p.hole = nil
	}
}

// swallowed waits while there is a black hole, and tells whether there was one.
func (p *Proxy) swallowed() bool {
	p.mu.Lock()
	hole := p.hole
	p.mu.Unlock()
	if hole == nil {
		return false
	}
	<-hole
	return true
}

// CutAll cuts all connections there are.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// lostTime is how long the server may take for a request whose answer will be lost before the client learns of it.
const lostTime = 50 * time.Millisecond

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
	if down || p.swallowed() {
		return
	}
	server, err := net.Dial(p.network, p.server)
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
			case <-muted: // it has done what it was asked, and its answer ends here
				return
			default:
			}
			if p.swallowed() {
				return
			}
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	if p.requests(client, server, func() { close(muted) }) {
		select {
		case <-answers:
		case <-time.After(lostTime):
			_ = client.Close()
		}
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
	if !forward(client, server, head[:4], nil) {
		return false
	}
	var r request
	for {
		if _, err := io.ReadFull(client, head); err != nil {
			return false
		}
		switch head[0] {
		case 'E':
			r.executes++
		case 'S', 'Q': // the end of a request
			rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
			if _, err := io.ReadFull(client, rest); err != nil {
				return false
			}
			r.sent = append(r.sent, rest...)
			last := append(head, rest...)
			if p.swallowed() {
				return false
			}
			switch p.end(r) {
			case cutNow:
				return false
			case cutAnswer:
				mute() // before the server can answer
				_, _ = server.Write(last)
				return true
			}
			r = request{sent: r.sent[:0]}
			if _, err := server.Write(last); err != nil {
				return false
			}
			continue
		}
		if !forward(client, server, head, &r.sent) {
			return false
		}
	}
}

// What happens at a request's end.
type fate int

const (
	pass fate = iota
	cutNow
	cutAnswer
)

func (p *Proxy) end(r request) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down { // what was on its way when the client died
		return cutNow
	}
	p.trips++
	r.trip = p.trips
	if r.group() {
		p.groups++
	}
	f := p.next
	if f.cut == nil || !f.cut(r) {
		return pass
	}
	p.cuts++
	if p.next.left--; p.next.left == 0 {
		p.next = fault{}
	}
	p.down = f.dies
	if f.lost {
		return cutAnswer
	}
	return cutNow
}

// forward passes a message on whose head has been read: its length is the head's last four bytes. What fits is kept.
func forward(client, server net.Conn, head []byte, keep *[]byte) bool {
	if _, err := server.Write(head); err != nil {
		return false
	}
	n := int64(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
	if keep == nil || int64(len(*keep))+n > keepRequest {
		_, err := io.CopyN(server, client, n)
		return err == nil
	}
	from := len(*keep)
	*keep = append(*keep, make([]byte, n)...)
	if _, err := io.ReadFull(client, (*keep)[from:]); err != nil {
		return false
	}
	_, err := server.Write((*keep)[from:])
	return err == nil
}
