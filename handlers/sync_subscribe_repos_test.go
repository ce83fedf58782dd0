package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/coder/websocket"

	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// stream is an open subscription of a test.
type openStream struct {
	t    testing.TB
	conn *websocket.Conn
}

// dial opens a stream of a house's tenant.
func (h *house) dial(host, target string) (*openStream, *http.Response, error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	conn, answer, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(h.http.URL, "http")+target, &websocket.DialOptions{Host: host})
	if err != nil {
		return nil, answer, err
	}
	conn.SetReadLimit(firehose.MaxFrame)
	h.t.Cleanup(func() { _ = conn.CloseNow() })
	return &openStream{h.t, conn}, answer, nil
}

func (h *house) stream(host, target string) *openStream {
	h.t.Helper()
	s, _, err := h.dial(host, target)
	if err != nil {
		h.t.Fatal(target, err)
	}
	return s
}

func (h *house) hose(host, query string) *openStream {
	h.t.Helper()
	return h.stream(host, "/xrpc/com.atproto.sync.subscribeRepos"+query)
}

func (s *openStream) read(within time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	_, b, err := s.conn.Read(ctx)
	return b, err
}

// exampleRecord is of a collection whose lexicon nobody knows: any key and any length will do.
func exampleRecord(text string) obj { return obj{"$type": "com.example.post", "text": text} }

// frame reads one event.
func (s *openStream) frame() *firehose.Frame {
	s.t.Helper()
	b, err := s.read(time.Minute)
	if err != nil {
		s.t.Fatal("read frame:", err)
	}
	f, err := firehose.Decode(b)
	if err != nil {
		s.t.Fatalf("%v: %x", err, b)
	}
	return f
}

// says reads a frame that is no event: an error or #info.
func (s *openStream) says(op int64, member, name string) {
	s.t.Helper()
	b, err := s.read(time.Minute)
	if err != nil {
		s.t.Fatalf("waiting for %s: %v", name, err)
	}
	r := dagcbor.NewReader(b)
	n, err := r.Map()
	want := dagcbor.AppendMapHead(nil, n)
	if n == 2 {
		want = dagcbor.AppendText(dagcbor.AppendText(want, "t"), "#info")
	}
	want = dagcbor.AppendInt(dagcbor.AppendText(want, "op"), op)
	want = dagcbor.AppendText(dagcbor.AppendText(dagcbor.AppendMapHead(want, 2), member), name)
	if err != nil || !bytes.HasPrefix(b, want) {
		s.t.Fatalf("got %q, want %s", b, name)
	}
	if member == "error" {
		recordStreamError("com.atproto.sync.subscribeRepos", name)
	}
}

// ends waits for the close frame.
func (s *openStream) ends(code websocket.StatusCode, within time.Duration) {
	s.t.Helper()
	for deadline := time.Now().Add(within); ; {
		_, err := s.read(time.Until(deadline))
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); got != code {
			s.t.Errorf("closed with %v (%v), want %v", got, err, code)
		}
		return
	}
}

func TestSubscribeRepos(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	live := h.hose(hostA, "")
	alice := h.createAccount(hostA, "alice")
	h.createAccount(hostB, "other")
	for i, want := range []firehose.Kind{firehose.KindIdentity, firehose.KindAccount, firehose.KindCommit, firehose.KindSync} {
		if f := live.frame(); f.Kind != want || f.DID != alice.did || f.Seq != int64(i+1) {
			t.Errorf("event %d: %+v", i, f)
		}
	}
	alice.create("com.example.post", "one", exampleRecord("one")).ok()
	f := live.frame()
	if f.Seq != 5 || len(f.Ops) != 1 || f.Ops[0].Path != "com.example.post/one" || !f.PrevData.Defined() {
		t.Errorf("%+v", f)
	}
	// Again from a cursor: the same bytes for everybody, and what follows.
	for cursor := range 6 {
		s := h.hose(hostA, "?cursor="+strconv.Itoa(cursor))
		for seq := cursor + 1; seq <= 5; seq++ {
			if f := s.frame(); f.Seq != int64(seq) {
				t.Errorf("cursor %d: event %d, want %d", cursor, f.Seq, seq)
			}
		}
		if b, err := s.read(50 * time.Millisecond); err == nil {
			t.Errorf("cursor %d: and %x", cursor, b)
		}
	}
	future := h.hose(hostA, "?cursor=6")
	future.says(-1, "error", "FutureCursor")
	future.ends(websocket.StatusPolicyViolation, time.Minute)

	// Out of the window.
	h.set(hostA, "firehose_retention_hours", "1")
	h.clock.add(3 * time.Hour)
	if err := h.tenants.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := h.hose(hostA, "?cursor=2")
	for tries := 0; tries < 100; tries++ { // the ring lets go of what is old within a second or so
		if b, err := old.read(time.Minute); err != nil || bytes.Contains(b, []byte("OutdatedCursor")) {
			break
		}
		time.Sleep(200 * time.Millisecond)
		old = h.hose(hostA, "?cursor=2")
	}
	old = h.hose(hostA, "?cursor=2")
	old.says(1, "name", "OutdatedCursor")
	h.createAccount(hostA, "carol")
	if f := old.frame(); f.Seq != 6 {
		t.Errorf("%+v", f)
	}
	zero := h.hose(hostA, "?cursor=0")
	if f := zero.frame(); f.Seq != 6 {
		t.Errorf("%+v", f)
	}
}

func TestSubscribeReposRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	get := func(host, target string) reply { return h.raw("GET", host, target, nil) }
	r := get(hostA, "/xrpc/com.atproto.sync.subscribeRepos")
	r.fails(http.StatusUpgradeRequired, "UpgradeRequired", "")
	if r.header.Get("Upgrade") != "websocket" {
		t.Error(r.header)
	}
	get(hostA, "/subscribe").fails(http.StatusUpgradeRequired, "UpgradeRequired", "")
	h.raw("POST", hostA, "/xrpc/com.atproto.sync.subscribeRepos", nil).fails(http.StatusBadRequest, "InvalidRequest", "Incorrect HTTP method")
	for target, status := range map[string]int{
		"/xrpc/com.atproto.sync.subscribeRepos?cursor=x":   400,
		"/xrpc/com.atproto.sync.subscribeRepos?cursor=1.5": 400,
		"/subscribe?cursor=now":                            400,
		"/subscribe?wantedCollections=nothing":             400,
		"/subscribe?wantedCollections=app.bsky.feed.po*":   400,
		"/subscribe?wantedDids=alice":                      400,
		"/subscribe?compress=true":                         400,
		"/subscribe?maxMessageSizeBytes=many":              400,
		"/subscribe?wantedCollections=" + strings.Repeat("app.bsky.feed.post&wantedCollections=", 101) + "app.bsky.feed.like": 400,
	} {
		if _, answer, err := h.dial(hostA, target); err == nil || answer == nil || answer.StatusCode != status {
			t.Errorf("%.80s: %v", target, err)
		}
	}
	for _, host := range []string{"alice." + hostA, "nobody.example"} {
		if _, answer, err := h.dial(host, "/xrpc/com.atproto.sync.subscribeRepos"); err == nil || answer.StatusCode < 400 {
			t.Errorf("%s: %v", host, err)
		}
	}
	h.set(hostA, "firehose_subscribers_max", "2")
	h.hose(hostA, "")
	second := h.stream(hostA, "/subscribe")
	if _, answer, err := h.dial(hostA, "/subscribe"); err == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Error("a third subscriber:", err)
	}
	h.hose(hostB, "") // another tenant's limit is its own
	if err := second.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if s, _, err := h.dial(hostA, "/subscribe"); err == nil {
			_ = s.conn.CloseNow()
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal("the place of one who left stays taken")
		}
	}
}

// TestStreamsEnd: streams are closed with a code when the tenant is suspended, but for the one that relays read, and when
// the server goes down.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b, j := h.stream(hostA, "/subscribe"), h.hose(hostB, ""), h.stream(hostB, "/subscribe?requireHello=true")
	relay := h.hose(hostA, "")
	h.suspend(hostA)
	a.ends(websocket.StatusGoingAway, time.Minute)
	h.createAccount(hostB, "bob")
	if f := b.frame(); f.Seq != 1 {
		t.Errorf("%+v", f)
	}
	h.stop()
	b.ends(websocket.StatusGoingAway, time.Minute)
	j.ends(websocket.StatusGoingAway, time.Minute)
	relay.ends(websocket.StatusGoingAway, time.Minute)
	if err := <-h.ended; err != nil {
		t.Error(err)
	}
	if _, answer, err := h.dial(hostB, "/subscribe"); err == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Error("a subscriber of a server that goes down:", err)
	}
}

// TestPings: the server pings, answers pings, and ends a socket that does not answer.
func TestPings(t *testing.T) {
	h := newHouse(t)
	pinged := make(chan struct{}, 10)
	ctx := t.Context()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(h.http.URL, "http")+"/xrpc/com.atproto.sync.subscribeRepos", &websocket.DialOptions{
		Host:           hostA,
		OnPingReceived: func(context.Context, []byte) bool { pinged <- struct{}{}; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	reading := conn.CloseRead(ctx)
	if err := conn.Ping(ctx); err != nil {
		t.Error("ours was not answered:", err)
	}
	dumb := rawSocket(t, h, "/xrpc/com.atproto.sync.subscribeRepos")
	for range 5 {
		h.clock.add(xrpc.PingEvery + time.Second)
		select {
		case <-pinged:
		case <-time.After(time.Minute):
			t.Fatal("no ping")
		}
		for range 2 { // by the second answer the pong, which follows what pinged tells, has been heard
			if err := conn.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = dumb.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, dumb); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("who never answers is still there:", err)
	}
	if reading.Err() != nil {
		t.Error("who answers was closed")
	}
}

// rawSocket is a WebSocket whose other side does nothing by itself.
func rawSocket(t testing.TB, h *house, target string) net.Conn {
	t.Helper()
	u, err := url.Parse(h.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", target, hostA)
	head := make([]byte, 0, 1024)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		b := make([]byte, 1)
		if _, err := conn.Read(b); err != nil {
			t.Fatal(err)
		}
		head = append(head, b[0])
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		t.Fatalf("%s", head)
	}
	return conn
}

// TestSlowConsumer: who stops reading gets ConsumerTooSlow and code 1008 when it reads again; others feel nothing.
func TestSlowConsumer(t *testing.T) {
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	cursor := "?cursor=4"
	slow := rawSocket(t, h, "/xrpc/com.atproto.sync.subscribeRepos"+cursor)
	quick := h.hose(hostA, cursor)
	// More than the sockets' buffers and the ring of 100 events hold.
	text := strings.Repeat("long ", 7000)
	wrote := 0
	for range 150 {
		alice.create("com.example.post", "", exampleRecord(text)).ok()
		wrote++
		if f := quick.frame(); f.Seq != int64(4+wrote) {
			t.Fatalf("%+v", f)
		}
	}
	// Now it reads: some events, the error frame, the close frame.
	_ = slow.SetReadDeadline(time.Now().Add(time.Minute))
	all, err := io.ReadAll(slow)
	if !bytes.Contains(all, []byte("ConsumerTooSlow")) || !bytes.Contains(all[max(0, len(all)-100):], []byte("\x03\xf0ConsumerTooSlow")) {
		t.Errorf("%d bytes, %v: %q", len(all), err, all[max(0, len(all)-200):])
	} else {
		recordStreamError("com.atproto.sync.subscribeRepos", "ConsumerTooSlow")
	}
	if n := bytes.Count(all, []byte("g#commit")); n >= wrote {
		t.Error("it was not slow:", n)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	bob := h.createAccount(hostA, "bob")
	bob.create("com.example.post", "x", exampleRecord("x")).ok()
	name := hostOf(h.a)
	if r := h.get(hostA, "com.atproto.sync.getHostStatus", "", "hostname", name).ok(); fmt.Sprintf("%v %v %v", r.at("seq"), r.at("accountCount"), r.at("status")) != "9 2 active" {
		t.Errorf("%s", r.body)
	}
	h.get(hostA, "com.atproto.sync.getHostStatus", "", "hostname", hostA).ok()
	h.get(hostA, "com.atproto.sync.getHostStatus", "", "hostname", hostB).fails(400, "HostNotFound", "")
	if r := h.get(hostA, "com.atproto.sync.listHosts", "").ok(); len(r.at("hosts").(list)) != 1 || r.at("hosts").(list)[0].(obj)["hostname"] != name {
		t.Errorf("%s", r.body)
	}
	if r := h.get(hostA, "com.atproto.sync.listReposByCollection", "", "collection", "com.example.post").ok(); len(r.at("repos").(list)) != 1 || r.at("repos").(list)[0].(obj)["did"] != bob.did {
		t.Errorf("%s", r.body)
	}
	if r := h.get(hostA, "com.atproto.sync.listReposByCollection", "", "collection", "app.bsky.feed.like").ok(); len(r.at("repos").(list)) != 0 {
		t.Errorf("%s", r.body)
	}
	h.get(hostA, "com.atproto.sync.listReposByCollection", "", "collection", "com.example.post", "cursor", "x").fails(400, "InvalidRequest", "cursor")
	head, _ := alice.head()
	if r := h.get(hostA, "com.atproto.sync.getHead", "", "did", alice.did).ok(); r.str("root") != head {
		t.Errorf("%s", r.body)
	}
	h.get(hostA, "com.atproto.sync.getHead", "", "did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").fails(400, "HeadNotFound", "")
	whole := h.get(hostA, "com.atproto.sync.getRepo", "", "did", bob.did).ok()
	if r := h.get(hostA, "com.atproto.sync.getCheckout", "", "did", bob.did).ok(); !bytes.Equal(r.body, whole.body) {
		t.Error("getCheckout is another archive")
	}
}
