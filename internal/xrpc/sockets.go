package xrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/tenant"
)

// Limits of sockets.
const (
	PingEvery     = 25 * time.Second
	pongWithin    = 60 * time.Second // after a ping; anything heard counts
	socketWrite   = 30 * time.Second // a batch of messages must be taken within it
	socketBuffer  = 256 << 10        // bytes the kernel holds for one consumer
	KeepEvery     = 500 * time.Millisecond
	closeWithin   = 8 * time.Second // all sockets, at shutdown
	farewellWrite = 2 * time.Second
)

// Why a socket is closed.
var (
	ErrGoingDown = errors.New("server is shutting down")
	errSuspended = errors.New("tenant is not served any more")
	errNoPong    = errors.New("no pong")
	errPeerGone  = errors.New("peer has gone")
)

// Sockets knows every open socket: http.Server forgets a connection that was upgraded, so it neither waits for it nor
// closes it.
type Sockets struct {
	tenants *tenant.Registry // nil: tenants do not change
	proxies inbound.Proxies
	now     func() time.Time

	mu     sync.Mutex
	open   map[*Socket]struct{}
	tenant map[int64]int
	from   map[network]int
	places *fair.Places // of the process
	closed bool
	done   chan struct{} // closed when the last one has gone after close
}

func newSockets(tenants *tenant.Registry, proxies inbound.Proxies, now func() time.Time) *Sockets {
	return &Sockets{tenants: tenants, proxies: proxies, now: now, open: map[*Socket]struct{}{}, tenant: map[int64]int{}, from: map[network]int{}, places: fair.NewPlaces(maxSockets, fair.Waiting{}), done: make(chan struct{})}
}

// Socket is one consumer. Its handler's goroutine does all the writing, but for the close frame that answers the
// peer's.
type Socket struct {
	set    *Sockets
	tenant int64
	from   []network // it is counted in
	place  *fair.Hold

	Context context.Context
	cancel  context.CancelCauseFunc
	Kick    chan struct{} // there is something to write besides events
	ping    atomic.Bool
	pong    atomic.Pointer[[]byte]
	heard   atomic.Int64 // unix nanoseconds
	pinged  time.Time    // of keep alone

	conn *websocket.Conn
	wire *wire
	bufs net.Buffers
}

// maxSockets is how many subscribers a process has at most, of all tenants; one tenant never has the last of them.
const maxSockets = 20_000

// widerNetwork is how many times as many subscribers as an address may come from one IPv6 network of 48 bits.
const widerNetwork = 4

// network is where a tenant's subscribers are counted: an address, of IPv6 its networks of 64 and of 48 bits. Each tenant
// counts its own, so that a relay may follow any number of tenants.
type network struct {
	tenant int64
	prefix netip.Prefix
}

// networks are those of an address, with how many subscribers each may have.
func networks(tenant int64, a netip.Addr, perAddress int) map[network]int {
	out := map[network]int{}
	all := fair.Networks(a)
	for i, p := range all {
		most := perAddress
		if i < len(all)-1 {
			most *= widerNetwork
		}
		out[network{tenant, p}] = most
	}
	return out
}

// Admit counts a new socket, or says why there may be none.
func (s *Sockets) Admit(v Visitor) (*Socket, error) {
	most, perAddress := v.Tenant.Settings.FirehoseSubscribersMax, v.Tenant.Settings.FirehoseSubscribersPerAddress
	k := &Socket{set: s, tenant: v.Tenant.ID, Kick: make(chan struct{}, 1)}
	var from map[network]int
	if a := v.Addr(); a.IsValid() && !s.proxies.Trusts(a) { // else a neighbour: a proxy that does not say for whom, or the operator's own
		from = networks(k.tenant, a, perAddress)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, Refuse(http.StatusServiceUnavailable, "", "This server is shutting down")
	case s.tenant[k.tenant] >= most:
		return nil, Refuse(http.StatusServiceUnavailable, "", "There are %d subscribers already", most)
	}
	for n, most := range from {
		if s.from[n] >= most {
			return nil, Refuse(http.StatusTooManyRequests, "", "There are %d subscribers at your address already", most)
		}
	}
	if k.place = s.places.Try(v.Tenant.Schema.String()); k.place == nil {
		return nil, Refuse(http.StatusServiceUnavailable, "", "This server has as many subscribers as it can have")
	}
	k.Context, k.cancel = context.WithCancelCause(context.Background())
	k.heard.Store(s.now().UnixNano())
	k.pinged = s.now()
	s.open[k] = struct{}{}
	s.tenant[k.tenant]++
	for n := range from {
		k.from = append(k.from, n)
		s.from[n]++
	}
	return k, nil
}

// Leave forgets a socket.
func (s *Sockets) Leave(k *Socket) {
	k.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, k)
	if s.tenant[k.tenant]--; s.tenant[k.tenant] == 0 {
		delete(s.tenant, k.tenant)
	}
	for _, n := range k.from {
		if s.from[n]--; s.from[n] == 0 {
			delete(s.from, n)
		}
	}
	k.place.Release()
	if s.closed && len(s.open) == 0 {
		close(s.done)
	}
}

// keep pings, ends what does not answer, and ends the sockets of tenants that are served no longer. When ctx ends all
// sockets are closed with a code, and it returns when they have gone, or after closeWithin.
func (s *Sockets) keep(ctx context.Context) error {
	tick := time.NewTicker(KeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.close()
		case <-tick.C:
			s.round(ctx)
		}
	}
}

func (s *Sockets) round(ctx context.Context) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := map[int64]bool{}
	if s.tenants != nil {
		for id := range s.tenant {
			t, err := s.tenants.ByID(ctx, id)
			gone[id] = errors.Is(err, tenant.ErrNotFound) || err == nil && t.State != tenant.Active && t.State != tenant.Moving
		}
	}
	for k := range s.open {
		quiet := now.Sub(time.Unix(0, k.heard.Load()))
		switch {
		case gone[k.tenant]:
			k.End(errSuspended)
		case quiet > PingEvery+pongWithin:
			k.End(errNoPong)
		case now.Sub(k.pinged) >= PingEvery:
			k.pinged = now
			k.ping.Store(true)
			k.nudge()
		}
	}
}

// close ends all sockets and waits for them.
func (s *Sockets) close() error {
	s.mu.Lock()
	s.closed = true
	for k := range s.open {
		k.End(ErrGoingDown)
	}
	n := len(s.open)
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(closeWithin):
		return fmt.Errorf("subscribers did not go in %s", closeWithin)
	}
}

// End makes the socket's handler say goodbye; a write that hangs gets little time.
func (k *Socket) End(why error) {
	if k.Context.Err() == nil {
		k.cancel(why)
		if w := k.wire; w != nil {
			w.hurry(farewellWrite)
		}
	}
}

// Cause is why the socket's context ended.
func (k *Socket) Cause() error { return context.Cause(k.Context) }

func (k *Socket) nudge() {
	select {
	case k.Kick <- struct{}{}:
	default:
	}
}

// UpgradeRequired refuses a request that is not a WebSocket's.
func UpgradeRequired(w http.ResponseWriter, r *http.Request) error {
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.ProtoMajor == 1 {
		return nil
	}
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	return Refuse(http.StatusUpgradeRequired, "UpgradeRequired", "This is a stream: ask for it over a WebSocket")
}

// Accept upgrades the connection. After an error the answer is given.
func (k *Socket) Accept(w http.ResponseWriter, r *http.Request, readLimit int64) error {
	hijack := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // public data without credentials: web pages may read it
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			k.heard.Store(k.set.now().UnixNano())
			answer := append([]byte{pongOpcode, byte(len(payload))}, payload...) // 125 bytes at most
			k.pong.Store(&answer)
			k.nudge()
			return false // the writer answers
		},
		OnPongReceived: func(context.Context, []byte) { k.heard.Store(k.set.now().UnixNano()) },
	})
	if err != nil {
		return err
	}
	conn.SetReadLimit(readLimit)
	k.set.mu.Lock()
	k.conn, k.wire = conn, hijack.wire
	k.set.mu.Unlock()
	return nil
}

// Listen reads what the peer sends until the connection ends, which it then tells the writer. message may be nil: then
// what comes is of no interest.
func (k *Socket) Listen(message func([]byte) error) {
	for {
		_, r, err := k.conn.Reader(context.Background())
		if err == nil {
			k.heard.Store(k.set.now().UnixNano())
			if message == nil {
				_, err = io.Copy(io.Discard, r)
			} else {
				var text []byte
				if text, err = io.ReadAll(r); err == nil {
					err = message(text)
				}
			}
		}
		if err != nil {
			k.cancel(fmt.Errorf("%w: %w", errPeerGone, err))
			return
		}
	}
}

// Add puts a whole message behind those to be written.
func (k *Socket) Add(message []byte) { k.bufs = append(k.bufs, message) }

// Flush writes what was added, with a ping or a pong if one is due, in as few system calls as there can be. Its error
// says that the peer has gone.
func (k *Socket) Flush() error {
	if p := k.pong.Swap(nil); p != nil {
		k.Add(*p)
	}
	if k.ping.Swap(false) {
		k.Add(pingWire)
	}
	if len(k.bufs) == 0 {
		return nil
	}
	err := k.wire.writeAll(k.bufs)
	clear(k.bufs)
	k.bufs = k.bufs[:0]
	if err != nil {
		return errors.Join(errPeerGone, err)
	}
	return nil
}

// First bytes of control frames that are whole messages.
// spec: rfc6455#section-5.2
const (
	pingOpcode = 0x89
	pongOpcode = 0x8a
)

var pingWire = []byte{pingOpcode, 0}

// violation closes a stream because of what its client did, or asked for.
type violation struct {
	reason string
	cause  error
}

func (v *violation) Error() string { return v.reason + ": " + v.cause.Error() }
func (v *violation) Unwrap() error { return v.cause }

// Violates makes cause a reason to close the stream as the client's fault.
func Violates(reason string, cause error) error { return &violation{reason, cause} }

// Finish ends the connection with a code, which err tells.
func (k *Socket) Finish(err error) {
	code, reason := websocket.StatusInternalError, "internal error"
	var fault *violation
	switch {
	case errors.Is(err, errPeerGone):
		_ = k.conn.CloseNow() // its close frame was answered, if there was one
		return
	case errors.Is(err, ErrGoingDown):
		code, reason = websocket.StatusGoingAway, ErrGoingDown.Error()
	case errors.Is(err, errSuspended):
		code, reason = websocket.StatusGoingAway, errSuspended.Error()
	case errors.Is(err, errNoPong):
		_ = k.conn.CloseNow()
		return
	case errors.As(err, &fault):
		code, reason = websocket.StatusPolicyViolation, fault.reason
	}
	k.wire.hurry(farewellWrite)
	late := time.AfterFunc(2*farewellWrite, func() { _ = k.wire.Conn.Close() })
	defer late.Stop()
	_ = k.conn.Close(code, reason) // waits for the peer's close frame
}

// hijacker hands websocket.Accept a connection whose writes do not fall between ours.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	h.wire = &wire{Conn: conn, below: conn}
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		h.wire.below = c.NetConn() // this stream's deadlines are our own
	}
	if tcp, ok := h.wire.below.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(socketBuffer) // only a bound: the default works too
	}
	// The library writes control frames only, 131 bytes at most, and flushes each: one Write is one whole frame.
	return h.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.wire, 256)), nil
}

// wire is a connection on which two write: the WebSocket library its control frames, and we the messages that all
// subscribers share.
type wire struct {
	net.Conn
	below   net.Conn // what is written to: many buffers in one call, if the kernel can
	mu      sync.Mutex
	hurried atomic.Bool
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit()
	return w.below.Write(p)
}

// writeAll writes whole messages, of which the connection is broken after an error. It uses bufs up.
func (w *wire) writeAll(bufs net.Buffers) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit()
	_, err := bufs.WriteTo(w.below)
	return err
}

// limit gives the write that begins its time.
func (w *wire) limit() {
	if w.hurried.Load() {
		return
	}
	_ = w.below.SetWriteDeadline(time.Now().Add(socketWrite))
	if w.hurried.Load() { // meanwhile: the longer time must not stand
		_ = w.below.SetWriteDeadline(time.Now().Add(farewellWrite))
	}
}

// hurry gives the write that is going on, and all later ones, no more than d.
func (w *wire) hurry(d time.Duration) {
	if !w.hurried.Swap(true) {
		_ = w.below.SetWriteDeadline(time.Now().Add(d))
	}
}
