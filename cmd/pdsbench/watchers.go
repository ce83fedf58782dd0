package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// watchers are subscribers of com.atproto.sync.subscribeRepos at the live end. Most of them only count messages, a few also look at
// when an event was made, so that reading costs this program as little as it can.
type watchers struct {
	conns     []net.Conn
	readers   sync.WaitGroup
	delivered atomic.Int64
	bytes     atomic.Int64
	dropped   atomic.Int64 // connections that the server ended
	ending    atomic.Bool

	mu     sync.Mutex
	lag    latencies
	window atomic.Pointer[window]
}

const (
	// timing is how many of the subscribers look at times.
	timing = 16
	// readBuffer is small: there may be thousands.
	readBuffer = 16 << 10
)

// errNoUpgrade: the server does not serve the stream.
var errNoUpgrade = errors.New("no WebSocket")

// watch opens n subscriptions.
func watch(t *target, n int, now func() time.Time) (*watchers, error) {
	w := &watchers{}
	for i := range n {
		nc, r, err := subscribe(t)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("subscriber %d: %w", i+1, err)
		}
		w.conns = append(w.conns, nc)
		w.readers.Go(func() {
			err := w.read(nc, r, i < timing, now)
			if err != nil && !w.ending.Load() {
				w.dropped.Add(1)
			}
		})
	}
	return w, nil
}

// subscribe makes the handshake.
func subscribe(t *target) (net.Conn, *bufio.Reader, error) {
	nc, err := t.dial()
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (net.Conn, *bufio.Reader, error) { _ = nc.Close(); return nil, nil, err }
	if err := nc.SetDeadline(time.Now().Add(t.timeout)); err != nil {
		return fail(err)
	}
	_, err = fmt.Fprintf(nc, "GET %s/xrpc/com.atproto.sync.subscribeRepos HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", t.prefix, t.host)
	if err != nil {
		return fail(err)
	}
	r := bufio.NewReaderSize(nc, readBuffer)
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil {
			return fail(err)
		}
		line = strings.TrimSpace(line)
		if first && !strings.Contains(line, " 101 ") {
			return fail(fmt.Errorf("%w: %.100s", errNoUpgrade, line))
		}
		if line == "" {
			return nc, r, nc.SetDeadline(time.Time{})
		}
	}
}

// read counts messages until the connection ends. Pings are answered.
func (w *watchers) read(nc net.Conn, r *bufio.Reader, times bool, now func() time.Time) error {
	var lag latencies
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lag.merge(&lag)
	}()
	var head [10]byte
	for {
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return err
		}
		opcode, n := head[0]&0xf, int64(head[1]&0x7f)
		switch n {
		case 126:
			if _, err := io.ReadFull(r, head[2:4]); err != nil {
				return err
			}
			n = int64(binary.BigEndian.Uint16(head[2:]))
		case 127:
			if _, err := io.ReadFull(r, head[2:10]); err != nil {
				return err
			}
			n = int64(binary.BigEndian.Uint64(head[2:]))
		}
		switch opcode {
		case 0, 1, 2:
		case 8:
			return io.EOF
		default:
			payload := make([]byte, n)
			if _, err := io.ReadFull(r, payload); err != nil {
				return err
			}
			if opcode == 9 { // a client masks what it sends; with zeros it stays as it is
				if _, err := nc.Write(append([]byte{0x8a, 0x80 | byte(n), 0, 0, 0, 0}, payload...)); err != nil {
					return err
				}
			}
			continue
		}
		in := w.window.Load()
		if in == nil {
			if _, err := r.Discard(int(n)); err != nil {
				return err
			}
			continue
		}
		var made time.Time
		if times {
			b, err := r.Peek(int(min(n, readBuffer)))
			if err != nil {
				return err
			}
			made = eventTime(b)
		}
		if _, err := r.Discard(int(n)); err != nil {
			return err
		}
		got := now()
		if !in.holds(got) {
			continue
		}
		w.delivered.Add(1)
		w.bytes.Add(n)
		if !made.IsZero() {
			lag.add(got.Sub(made))
		}
	}
}

var timeKey = []byte("dtimex\x18") // "time" and a text of 24 bytes, in DAG-CBOR

// eventTime finds the time field of a frame, which has milliseconds.
func eventTime(frame []byte) time.Time {
	i := bytes.Index(frame, timeKey)
	if i < 0 || len(frame) < i+len(timeKey)+24 {
		return time.Time{}
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z", string(frame[i+len(timeKey):][:24]))
	if err != nil {
		return time.Time{}
	}
	return at
}

// close ends all subscriptions.
func (w *watchers) close() {
	w.ending.Store(true)
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.readers.Wait()
}

// streamResult is what the subscribers of a run got.
type streamResult struct {
	Subscribers int       `json:"subscribers"`
	Delivered   int64     `json:"delivered"` // messages, to all of them, in the measured time
	PerSecond   float64   `json:"delivered_per_second"`
	Events      float64   `json:"events_per_second"` // of one subscriber, on average
	MBPerSecond float64   `json:"mb_per_second"`
	Dropped     int64     `json:"dropped"` // connections the server ended
	Lag         latencyMS `json:"lag_ms"`  // from the event's time field, which is set before the commit, to its receipt
	CPU         float64   `json:"server_cpu_us_per_delivered"`
}

// result ends the subscriptions and says what they got.
func (w *watchers) result(r *result) {
	w.close()
	s := &streamResult{Subscribers: len(w.conns), Delivered: w.delivered.Load(), Dropped: w.dropped.Load()}
	if r.Seconds > 0 && s.Subscribers > 0 {
		s.PerSecond = float64(s.Delivered) / r.Seconds
		s.Events = s.PerSecond / float64(s.Subscribers)
		s.MBPerSecond = float64(w.bytes.Load()) / r.Seconds / 1e6
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	l := &w.lag
	s.Lag = latencyMS{P50: ms(l.percentile(50)), P90: ms(l.percentile(90)), P99: ms(l.percentile(99)), Max: ms(l.max), Mean: ms(l.mean())}
	if r.Server != nil && s.Delivered > 0 {
		s.CPU = r.Server.CPUSeconds * 1e6 / float64(s.Delivered)
	}
	r.Stream = s
}

func (s *streamResult) print(w io.Writer) {
	fmt.Fprintf(w, "  stream      %d subscribers  %.1f events/s each  %.0f delivered/s  %.1f MB/s  lag ms p50 %.1f  p99 %.1f  max %.1f",
		s.Subscribers, s.Events, s.PerSecond, s.MBPerSecond, s.Lag.P50, s.Lag.P99, s.Lag.Max)
	if s.CPU > 0 {
		fmt.Fprintf(w, "  server CPU µs/delivered %.1f", s.CPU)
	}
	if s.Dropped > 0 {
		fmt.Fprintf(w, "  %d DROPPED", s.Dropped)
	}
	fmt.Fprintln(w)
}
