package handlers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestProxyStreams: long bodies go through in both directions as they come in, and are not collected.
func TestProxyStreams(t *testing.T) {
	h := newHouse(t) // alone: it measures memory
	u := newUpstream(t)
	u.plain = true
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice := h.createAccount(hostA, "alice")
	const up, down = 48 << 20, 10 << 20
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	most := int64(0)
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	u.will(func(w http.ResponseWriter, r *http.Request) {
		n := int64(0)
		buf := make([]byte, len(block))
		for {
			got, err := io.ReadFull(r.Body, buf)
			if !bytes.Equal(buf[:got], block[:got]) {
				t.Error("the body is another")
			}
			if n += int64(got); n == up/2 {
				most = max(most, live())
			}
			if err != nil {
				break
			}
		}
		if n != up {
			t.Errorf("%d bytes came", n)
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		for i := range down / len(block) {
			_, _ = w.Write(block)
			if i == down/len(block)/2 {
				most = max(most, live())
			}
		}
	})
	for _, length := range []int64{up, -1} {
		body := io.LimitReader(&again{block: block}, up)
		req, err := http.NewRequestWithContext(t.Context(), "POST", h.http.URL+"/xrpc/com.example.x.upload", io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.ContentLength = hostA, length
		req.Header.Set("Authorization", "Bearer "+alice.access)
		res, err := h.http.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got := int64(0)
		for {
			buf := make([]byte, len(block))
			n, err := io.ReadFull(res.Body, buf)
			if !bytes.Equal(buf[:n], block[:n]) {
				t.Error("the answer is another")
			}
			if got += int64(n); err != nil {
				break
			}
		}
		_ = res.Body.Close()
		if res.StatusCode != 200 || got != down {
			t.Errorf("%d, %d bytes", res.StatusCode, got)
		}
	}
	if grown := most - before; grown > 16<<20 {
		t.Errorf("%d MiB more are in use while %d MiB go through", grown>>20, up>>20)
	}
	h.settles()
}

// again is the same bytes for ever.
type again struct {
	block []byte
	at    int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.block[a.at:])
	a.at = (a.at + n) % len(a.block)
	return n, nil
}

// TestProxyUploads: a service that refuses, or takes nothing, while the client sends; and a client that stops.
func TestProxyUploads(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{patience: 500 * time.Millisecond})
	u := newUpstream(t)
	u.plain = true
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice := h.createAccount(hostA, "alice")
	// net/http's client may lose an answer that comes while it is sending. This one reads beside it.
	send := func(n int64) reply {
		conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /xrpc/com.example.x.upload HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Length: %d\r\n\r\n", hostA, bearer(alice.access), n)
		go func() { _, _ = io.Copy(conn, io.LimitReader(&again{block: make([]byte, 64<<10)}, n)) }() // ends with the connection
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply{t: t, what: "a long upload", nsid: "com.example.x.upload", status: res.StatusCode, header: res.Header, body: body}
	}
	// It says no at once: the client hears that, whatever it was about to send.
	u.will(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Connection", "close")
		w.WriteHeader(413)
		fmt.Fprint(w, `{"error":"TooLarge","message":"not that much"}`)
	})
	r, err := h.try("POST", hostA, "/xrpc/com.example.x.upload", io.LimitReader(&again{block: make([]byte, 64<<10)}, 4<<20), bearer(alice.access))
	if err == nil && (r.status != 413 && r.status != 502 || r.status == 413 && r.str("error") != "TooLarge") {
		t.Errorf("%d %s", r.status, r.body)
	}
	// It takes nothing: after a while that is an answer.
	enough := make(chan struct{})
	u.will(func(http.ResponseWriter, *http.Request) { <-enough })
	defer close(enough)
	send(32<<20).fails(502, "UpstreamFailure", "Upstream service unreachable")
	// The client announces more than it sends, and leaves.
	u.will(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("half a body looks whole")
		}
	})
	conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /xrpc/com.example.x.upload HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 100000\r\n\r\n%s", hostA, alice.access, strings.Repeat("x", 1000))
	time.Sleep(50 * time.Millisecond)
	_ = conn.Close()
	h.settles()
}
