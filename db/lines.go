package db

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// lines is every connection there is, so that all can be cut at once: no statement has to listen for it.
type lines struct {
	mu   sync.Mutex
	open map[*line]struct{}
	cut  bool
	gone chan struct{} // closed when they are cut
}

func newLines() *lines { return &lines{open: map[*line]struct{}{}, gone: make(chan struct{})} }

// line is one of them.
type line struct {
	net.Conn
	of *lines
}

// Close implements net.Conn.
func (l *line) Close() error {
	l.of.mu.Lock()
	delete(l.of.open, l)
	l.of.mu.Unlock()
	return l.Conn.Close()
}

// SyscallConn lets [isDead] look at the socket.
func (l *line) SyscallConn() (syscall.RawConn, error) {
	c, ok := l.Conn.(syscall.Conn)
	if !ok {
		return nil, syscall.EINVAL
	}
	return c.SyscallConn()
}

// dial makes a connection whose death is noticed also where nobody counts the time, as in a long export.
func (l *lines) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if l.isCut() {
		return nil, ErrGivenUp
	}
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
		Control:         giveUpUnacknowledged,
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	one := &line{c, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = c.Close() // nothing was sent yet
		return nil, ErrGivenUp
	}
	l.open[one] = struct{}{}
	return one, nil
}

func (l *lines) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *lines) cutAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return
	}
	l.cut = true
	close(l.gone)
	for one := range l.open {
		_ = one.Conn.Close() // whoever reads learns of it
	}
}

// GiveUp cuts all connections and makes no more: for a process that is to end while the database does not answer. What
// was asked fails, what is asked afterwards with ErrGivenUp. What was sent may have happened.
func (d *DB) GiveUp() { d.lines.cutAll() }
