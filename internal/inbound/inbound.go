// Package inbound owns the connections that strangers open: how many there may be, in all and from one address, and how
// slowly an answer may be read. What a request's body may take is the business of the code that serves it.
//
// A connection is quiet while no request of it is being served: it is new and has not sent one whole, or it is kept for
// the next. When a limit is met, the connection that has been quiet for longest is closed for the one that comes; only
// if there is none, the one that comes is refused.
package inbound

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/fair"
)

// Defaults.
const (
	DefaultOpen       = 10_000
	DefaultPerAddress = 500
	// DefaultFloor is how many bytes a second a client must take, over any time but one pause of DefaultPause.
	DefaultFloor = 8 << 10
	DefaultPause = 30 * time.Second
)

// writePart is how much is handed to the kernel at once, and unsent how much of it may wait there: progress is seen in
// steps of about this size.
const (
	writePart = 64 << 10
	unsent    = 128 << 10
)

// Config says how many connections there may be, and how slow. Zero members have defaults.
type Config struct {
	Open       int // in all
	PerAddress int // of one address, of IPv6 its network of 64 bits; upgraded ones (WebSockets) do not count
	// Neighbour tells peers that are not strangers, whose connections count in all only: proxies, which come for many.
	// Without it they are the default's.
	Neighbour func(netip.Addr) bool
	Floor     int64
	Pause     time.Duration
}

// Listener counts what it accepts. It must be told of states: [Listener.State] is an http.Server's ConnState.
type Listener struct {
	net.Listener
	cfg Config

	mu      sync.Mutex
	open    int
	address map[netip.Prefix]*from
	quiet   *list.List // of *conn, the longest quiet first
	closed  Closed
}

// from is the connections of one address.
type from struct {
	open  int
	quiet *list.List
}

// Closed counts connections that a limit ended.
type Closed struct {
	Quiet   int64 // for the sake of another
	Refused int64
	Slow    int64 // of those that read too slowly
}

// New counts the connections of l.
func New(l net.Listener, cfg Config) *Listener {
	if cfg.Open <= 0 {
		cfg.Open = DefaultOpen
	}
	if cfg.PerAddress <= 0 {
		cfg.PerAddress = DefaultPerAddress
	}
	if cfg.Neighbour == nil {
		cfg.Neighbour = Proxies{}.Trusts
	}
	if cfg.Floor <= 0 {
		cfg.Floor = DefaultFloor
	}
	if cfg.Pause <= 0 {
		cfg.Pause = DefaultPause
	}
	return &Listener{Listener: l, cfg: cfg, address: map[netip.Prefix]*from{}, quiet: list.New()}
}

// Open is how many connections there are now, and what the limits have closed so far.
func (l *Listener) Open() (int, Closed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.closed
}

// Accept gives the next connection that has a place.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, l: l, pause: l.cfg.Pause}
		if ap, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err == nil && !l.cfg.Neighbour(ap.Addr().Unmap()) {
			c.key = network(ap.Addr().Unmap())
		}
		victims, ok := l.enter(c)
		for _, v := range victims {
			_ = v.Conn.Close() // its place is counted off already
		}
		if ok {
			lessUnsent(raw)
			return c, nil
		}
		_ = raw.SetDeadline(time.Now().Add(time.Second)) // the kernel has room for so few bytes
		_, _ = raw.Write(refusal)
		_ = raw.Close()
	}
}

// refusal is best effort: a proxy that sees it need not guess.
var refusal = []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n")

// network is what counts as one address.
func network(a netip.Addr) netip.Prefix {
	all := fair.Networks(a)
	if len(all) == 0 {
		return netip.Prefix{}
	}
	return all[len(all)-1]
}

// enter counts a connection, if need be in the place of others, which are to be closed.
func (l *Listener) enter(c *conn) (victims []*conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.address[c.key]; c.key.IsValid() && f != nil && f.open >= l.cfg.PerAddress {
		if f.quiet.Len() == 0 {
			l.closed.Refused++
			return victims, false
		}
		victims = append(victims, l.evict(f.quiet))
	}
	if l.open >= l.cfg.Open {
		if l.quiet.Len() == 0 {
			l.closed.Refused++
			return victims, false
		}
		victims = append(victims, l.evict(l.quiet))
	}
	c.counted = true
	l.open++
	if c.key.IsValid() {
		f := l.address[c.key]
		if f == nil {
			f = &from{quiet: list.New()}
			l.address[c.key] = f
		}
		f.open++
		c.from = f
	}
	l.setQuiet(c, true)
	return victims, true
}

func (l *Listener) evict(quiet *list.List) *conn {
	c := quiet.Front().Value.(*conn)
	l.leave(c)
	l.closed.Quiet++
	return c
}

// leave takes a connection out of all counts, once.
func (l *Listener) leave(c *conn) {
	if !c.counted {
		return
	}
	l.setQuiet(c, false)
	c.counted = false
	l.open--
	l.leaveAddress(c)
}

func (l *Listener) leaveAddress(c *conn) {
	if f := c.from; f != nil {
		c.from = nil
		if f.open--; f.open == 0 {
			delete(l.address, c.key)
		}
	}
}

func (l *Listener) setQuiet(c *conn, quiet bool) {
	if c.inAll != nil {
		l.quiet.Remove(c.inAll)
		c.inAll = nil
	}
	if c.inAddress != nil {
		c.from.quiet.Remove(c.inAddress)
		c.inAddress = nil
	}
	if quiet && c.counted {
		c.inAll = l.quiet.PushBack(c)
		if c.from != nil {
			c.inAddress = c.from.quiet.PushBack(c)
		}
	}
}

// State is the ConnState of the server that serves from l.
func (l *Listener) State(nc net.Conn, s http.ConnState) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s {
	case http.StateActive:
		l.setQuiet(c, false)
	case http.StateIdle:
		l.setQuiet(c, true)
	case http.StateHijacked:
		// It is a stream now, and has limits of its own.
		c.free.Store(true)
		l.setQuiet(c, false)
		l.leaveAddress(c)
	}
}
