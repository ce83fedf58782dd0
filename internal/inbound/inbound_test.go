package inbound

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve answers as h does behind the limits of cfg, and counts everybody as a stranger.
func serve(t *testing.T, cfg Config, h http.HandlerFunc) *Listener {
	t.Helper()
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Neighbour == nil {
		cfg.Neighbour = func(netip.Addr) bool { return false }
	}
	l := New(below, cfg)
	s := &http.Server{Handler: h, ConnState: l.State}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
		settles(t, l, 0)
	})
	return l
}

// settles waits until n connections are open.
func settles(t *testing.T, l *Listener, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		open, closed := l.Open()
		if open == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, not %d; %+v", open, n, closed)
		}
	}
}

func (l *Listener) quietNow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quiet.Len()
}

func dial(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err) // also called from goroutines
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// get sends a request and reads up to the end of the answer's head.
func get(t *testing.T, c net.Conn, path string) string {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return err.Error()
	}
	var head []byte
	var one [1]byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := c.Read(one[:]); err != nil {
			return err.Error()
		}
		head = append(head, one[0])
	}
	return string(head)
}

func ok(w http.ResponseWriter, r *http.Request) {}

// TestLongestQuietGoes: beyond a limit the connection that has been quiet for longest makes room, and none that is at
// work.
func TestLongestQuietGoes(t *testing.T) {
	for name, cfg := range map[string]Config{"in all": {Open: 3}, "per address": {PerAddress: 3}} {
		t.Run(name, func(t *testing.T) {
			hold, working := make(chan struct{}), make(chan struct{}, 10)
			l := serve(t, cfg, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/work" {
					working <- struct{}{}
					<-hold
				}
			})
			worker := dial(t, l)
			answer := make(chan string, 1)
			go func() { answer <- get(t, worker, "/work") }()
			<-working
			idle := dial(t, l)
			if s := get(t, idle, "/"); !strings.Contains(s, "200 OK") {
				t.Fatal(s)
			}
			for l.quietNow() != 1 { // an answer is read a moment before the server calls the connection idle
				time.Sleep(time.Millisecond)
			}
			dumb := dial(t, l) // never says anything
			settles(t, l, 3)
			third := dial(t, l)
			if s := get(t, third, "/"); !strings.Contains(s, "200 OK") {
				t.Errorf("a new one: %s", s)
			}
			if s := get(t, idle, "/"); strings.Contains(s, "200 OK") {
				t.Error("the idle one was kept")
			}
			fourth := dial(t, l)
			if s := get(t, fourth, "/"); !strings.Contains(s, "200 OK") {
				t.Errorf("another new one: %s", s)
			}
			if _, err := dumb.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("the dumb one was kept: %v", err)
			}
			// All at work: now the new one is refused.
			for _, c := range []net.Conn{third, fourth} {
				go get(t, c, "/work")
				select {
				case <-working:
				case <-time.After(20 * time.Second):
					t.Fatal("a connection was closed that had its place")
				}
			}
			if s := get(t, dial(t, l), "/"); strings.Contains(s, "200 OK") {
				t.Error("one too many was served")
			}
			close(hold)
			if s := <-answer; !strings.Contains(s, "200 OK") {
				t.Errorf("who was at work: %s", s)
			}
			if _, closed := l.Open(); closed.Quiet != 2 || closed.Refused != 1 {
				t.Errorf("%+v", closed)
			}
		})
	}
}

// TestNeighbours: proxies come for many, and streams have limits of their own.
func TestNeighbours(t *testing.T) {
	l := serve(t, Config{PerAddress: 2, Neighbour: func(netip.Addr) bool { return true }}, ok)
	for range 5 {
		get(t, dial(t, l), "/")
	}
	settles(t, l, 5)
	streams := make(chan net.Conn, 9)
	l = serve(t, Config{PerAddress: 2}, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			streams <- c
		}
	})
	for range 5 {
		if s := get(t, dial(t, l), "/"); !strings.Contains(s, "101") {
			t.Error(s)
		}
	}
	settles(t, l, 5)
	for range 5 {
		_ = (<-streams).Close()
	}
	settles(t, l, 0)
}

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64"} {
		if got := network(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestSlowReaders: who takes an answer slower than the floor is cut, of each way to answer; who is faster gets it all,
// however long that takes.
func TestSlowReaders(t *testing.T) {
	const size = 24 << 20 // more than the kernel takes for a connection
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	l := serve(t, Config{Floor: 1 << 20, Pause: 500 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			http.ServeFile(w, r, file)
		case "/stream":
			for range size >> 10 {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		case "/source":
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
		default:
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(make([]byte, size))
		}
	})
	var wg sync.WaitGroup
	for _, path := range []string{"/whole", "/file", "/stream", "/source"} {
		for _, tt := range []struct {
			rate int // bytes each 20 ms
			all  bool
		}{{0, false}, {8 << 10, false}, {512 << 10, true}} {
			wg.Go(func() {
				c := dial(t, l)
				_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
				_ = c.SetDeadline(time.Now().Add(60 * time.Second))
				if s := get(t, c, path); !strings.Contains(s, "200 OK") {
					t.Error(path, s)
					return
				}
				if tt.rate == 0 {
					time.Sleep(2 * time.Second)
				}
				var total int64
				for began := time.Now(); ; {
					n, err := io.CopyN(io.Discard, c, max(int64(tt.rate), 64<<10)/64)
					total += n
					if err != nil || total >= size {
						break
					}
					if tt.rate > 0 {
						time.Sleep(time.Until(began.Add(time.Duration(total) * 20 * time.Millisecond / time.Duration(tt.rate))))
					}
				}
				if (total >= size) != tt.all {
					t.Errorf("%s at %d bytes each 20 ms: got %d", path, tt.rate, total)
				}
			})
		}
	}
	wg.Wait()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
