package inbound

import (
	"container/list"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection. Its writes end with an error when the client takes too little.
type conn struct {
	net.Conn
	l   *Listener
	key netip.Prefix // the zero value: a neighbour's

	// Under the listener's lock.
	counted          bool
	from             *from
	inAll, inAddress *list.Element

	writing sync.Mutex
	pause   time.Duration // how long the client may still make writes wait; under writing
	until   atomic.Int64  // a deadline of the server's own, in unix nanoseconds; 0: none
	free    atomic.Bool   // a stream's: who serves it looks after its writes
}

// NetConn is the connection below, for who looks after a stream's deadlines. It must be closed through the one above.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Close() error {
	c.l.mu.Lock()
	c.l.leave(c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection whose client is still sending without a reset.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.keep(t)
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.keep(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) keep(t time.Time) {
	var n int64
	if !t.IsZero() {
		n = t.UnixNano()
	}
	c.until.Store(n)
}

func (c *conn) Write(p []byte) (total int, err error) {
	if c.free.Load() {
		return c.Conn.Write(p)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		part := p[:min(len(p), writePart)]
		n, err := c.part(func() (int64, error) {
			n, err := c.Conn.Write(part)
			return int64(n), err
		})
		total += int(n)
		if p = p[n:]; err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// ReadFrom lets the kernel copy files.
func (c *conn) ReadFrom(src io.Reader) (total int64, err error) {
	to, ok := c.Conn.(io.ReaderFrom)
	limited, isLimited := src.(*io.LimitedReader)
	if ok && isLimited {
		_, ok = limited.R.(*os.File) // other sources take time of their own, which is not the client's
	}
	if !ok || !isLimited {
		return io.Copy(onlyWriter{c}, src)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	for limited.N > 0 {
		part := &io.LimitedReader{R: limited.R, N: min(limited.N, writePart)}
		n, err := c.part(func() (int64, error) { return to.ReadFrom(part) })
		total += n
		limited.N -= n
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}

type onlyWriter struct{ io.Writer }

// part does one write in the time that the client has.
func (c *conn) part(write func() (int64, error)) (int64, error) {
	began := time.Now()
	deadline := began.Add(c.pause)
	own := false
	if n := c.until.Load(); n != 0 {
		if t := time.Unix(0, n); t.Before(deadline) {
			deadline, own = t, true
		}
	}
	if err := c.Conn.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := write()
	c.pause = min(c.l.cfg.Pause, c.pause-time.Since(began)+time.Duration(n)*time.Second/time.Duration(c.l.cfg.Floor))
	if !own && errors.Is(err, os.ErrDeadlineExceeded) {
		c.l.mu.Lock()
		c.l.closed.Slow++
		c.l.mu.Unlock()
	}
	return n, err
}
