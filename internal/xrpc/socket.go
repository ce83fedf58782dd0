package xrpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/auroralocus/locus/internal/fair"
)

// Socket is one consumer. Its handler's goroutine does all the writing, but for the close frame that answers the
// peer's.
type Socket struct {
	set    *Sockets
	tenant int64
	schema string
	from   []network // it is counted in
	place  *fair.Hold
	// standing is what becomes of it when its tenant is not there for people.
	standing Standing
	host     string // the name of its tenant under which it was opened

	Context context.Context
	cancel  context.CancelCauseFunc
	Kick    chan struct{} // there is something to write besides events
	ping    atomic.Bool
	pong    atomic.Pointer[[]byte]
	heard   atomic.Int64 // unix nanoseconds
	pinged  time.Time    // of keep alone

	sent func(bytes int64) // nil: nobody counts

	conn *websocket.Conn
	wire *wire
	bufs net.Buffers
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
	if st, ok := r.Context().Value(stateKey{}).(*state); ok {
		st.stay.Leave() // what is sent comes in each time
		if st.opened != nil {
			st.opened(r)
		}
	}
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
	if k.sent != nil {
		n := 0
		for _, b := range k.bufs {
			n += len(b)
		}
		k.sent(int64(n))
	}
	stay := k.set.door.Stream(k.Context, k.schema)
	err := k.wire.writeAll(k.bufs)
	stay.Leave()
	clear(k.bufs)
	k.bufs = k.bufs[:0]
	if err != nil {
		return errors.Join(errPeerGone, err)
	}
	return nil
}

// First bytes of control frames that are whole messages.
// spec: RFC 6455 section 5.2
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
	case errors.Is(err, errRenamed):
		code, reason = websocket.StatusGoingAway, errRenamed.Error()
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
	// What is below TLS must never be written to.
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok && !isTLS(conn) {
		h.wire.below = c.NetConn() // this stream's deadlines are our own
	}
	if tcp, ok := h.wire.below.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(socketBuffer) // only a bound: the default works too
	}
	// The library writes control frames only, 131 bytes at most, and flushes each: one Write is one whole frame.
	return h.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.wire, 256)), nil
}

func isTLS(c net.Conn) bool {
	_, ok := c.(*tls.Conn)
	return ok
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
