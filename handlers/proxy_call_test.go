package handlers

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// timeline is a list of the app view that nothing is merged into.
const timeline = "app.bsky.feed.getListFeed"

// TestProxyHeaders: exactly the headers of the lists go and come back, and path, query and bodies are as they were sent.
func TestProxyHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice := h.createAccount(hostA, "alice")
	u.will(func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range map[string]string{
			"Content-Type": "application/json", "Content-Language": "pt-BR", "Atproto-Repo-Rev": "3l5p3vkqkjc2v", "Atproto-Content-Labelers": "did:plc:x;redact", "Retry-After": "3",
			"Set-Cookie": "a=b", "Etag": `"x"`, "Cache-Control": "public", "Ratelimit-Limit": "7", "Access-Control-Allow-Origin": "https://evil.example", "X-Powered-By": "y", "Location": "https://x.example", "Server": "z",
		} {
			w.Header().Set(k, v)
		}
		_, _ = w.Write([]byte("{\"a\": 1 }\n"))
	})
	sent := []string{
		bearer(alice.access), "Accept-Language: pt, en;q=0.5", "Atproto-Accept-Labelers: did:plc:y;redact", "X-Bsky-Topics: t", "X-Atproto-Anything: kept", "X-Atproto-Other: too",
		"Cookie: a=b", "User-Agent: client/1", "X-Forwarded-For: 192.0.2.1", "Referer: https://x.example", "Origin: https://x.example", "Accept: application/json", "Traceparent: 1", "Dpop: x", "Priority: u=1", "Range: bytes=0-1",
	}
	query := "?limit=50&cursor=a%2Fb%20c+d&empty=&x=%zz&x=2&"
	r := h.raw("GET", hostA, "/xrpc/"+timeline+query, nil, sent...).ok()
	if string(r.body) != "{\"a\": 1 }\n" {
		t.Errorf("body %q", r.body)
	}
	got := u.last()
	if got.target != "/xrpc/"+timeline+query {
		t.Errorf("target %s", got.target)
	}
	want := []string{"Accept-Encoding", "Accept-Language", "Atproto-Accept-Labelers", "Authorization", "X-Atproto-Anything", "X-Atproto-Other", "X-Bsky-Topics"}
	if names := slices.Sorted(maps.Keys(got.header)); !slices.Equal(names, want) {
		t.Errorf("sent %v, want %v", names, want)
	}
	if e := got.header.Get("Accept-Encoding"); e != "identity" { // the client asked for nothing
		t.Errorf("Accept-Encoding %q", e)
	}
	h.raw("GET", hostA, "/xrpc/"+timeline+"?", nil, bearer(alice.access), "Accept-Encoding: br;q=0.5").ok()
	if got := u.last(); got.target != "/xrpc/"+timeline+"?" || got.header.Get("Accept-Encoding") != "br;q=0.5" {
		t.Errorf("%s %v", got.target, got.header)
	}
	// What comes back, and what is this server's own.
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Language": "pt-BR", "Atproto-Repo-Rev": "3l5p3vkqkjc2v", "Atproto-Content-Labelers": "did:plc:x;redact", "Retry-After": "3", "Content-Length": "10",
		"Set-Cookie": "", "Etag": "", "Cache-Control": "private", "Ratelimit-Limit": "", "Access-Control-Allow-Origin": "*", "X-Powered-By": "", "Location": "", "Server": "", "Vary": "Authorization",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// A body goes as it is, its encoding too; a length that is not known stays unknown; a GET has none.
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(`{"actor":"x"}`))
	_ = z.Close()
	for _, body := range []any{zipped.Bytes(), io.Reader(bytes.NewReader(zipped.Bytes()))} {
		h.raw("POST", hostA, "/xrpc/app.bsky.graph.muteActor", body, bearer(alice.access), "Content-Type: application/x; a=b", "Content-Encoding: gzip").ok()
		got := u.last()
		_, whole := body.([]byte)
		if !bytes.Equal(got.body, zipped.Bytes()) || got.header.Get("Content-Type") != "application/x; a=b" || got.header.Get("Content-Encoding") != "gzip" || whole != (got.length == int64(zipped.Len())) {
			t.Errorf("came as %d bytes %d %v", len(got.body), got.length, got.header)
		}
	}
	h.raw("POST", hostA, "/xrpc/app.bsky.graph.muteActor", nil, bearer(alice.access), "Content-Type: text/x").ok()
	if got := u.last(); got.length != 0 || got.header.Get("Content-Type") != "" {
		t.Errorf("no body: %+v", got)
	}
	h.raw("GET", hostA, "/xrpc/"+timeline, "a body", bearer(alice.access), "Content-Type: text/x").ok()
	if got := u.last(); len(got.body) != 0 || got.header.Get("Content-Type") != "" {
		t.Errorf("GET with a body: %+v", got)
	}
	// A token is used again for GET only.
	jti := func(verb string) string {
		h.raw(verb, hostA, "/xrpc/"+timeline, nil, bearer(alice.access)).ok()
		return u.last().claims(t).Jti
	}
	first := jti("GET")
	if jti("GET") != first || jti("HEAD") != first {
		t.Error("each GET has a token of its own")
	}
	if a, b := jti("POST"), jti("POST"); a == b || a == first {
		t.Error("two calls of POST share a token")
	}
	h.clock.add(31 * time.Second)
	if jti("GET") == first {
		t.Error("a token is used for more than 30 seconds")
	}
}

// TestProxyLies: what a service does wrong, and what the client hears of it.
func TestProxyLies(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{patience: 300 * time.Millisecond})
	u := newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice := h.createAccount(hostA, "alice")
	jsonError := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write([]byte(`{"error":"Bomb","message":"`))
	for range 64 {
		_, _ = z.Write(bytes.Repeat([]byte("x"), 1<<20))
	}
	_, _ = z.Write([]byte(`"}`))
	_ = z.Close()
	var small bytes.Buffer
	z = gzip.NewWriter(&small)
	_, _ = z.Write([]byte(`{"error":"Zipped","message":"yes"}`))
	_ = z.Close()
	for _, tt := range []struct {
		what          string
		answer        http.HandlerFunc
		status        int
		name, message string
	}{
		{"an error", jsonError(400, `{"error":"NotFound","message":"Post not found","more":{"a":1}}`), 400, "NotFound", "Post not found"},
		{"not texts", jsonError(403, `{"error":7,"message":["x"]}`), 403, "Forbidden", "Forbidden"},
		{"no object", jsonError(404, `[1]`), 404, "XRPCNotSupported", "XRPC Not Supported"},
		{"broken", jsonError(429, `{"error":"Rate`), 429, "RateLimitExceeded", "Rate Limit Exceeded"},
		{"its failure", jsonError(500, `{"error":"Oops","message":"broke"}`), 502, "Oops", "broke"},
		{"its other failure", jsonError(503, `{}`), 503, "NotEnoughResources", "Not Enough Resources"},
		{"a token it does not like", jsonError(401, `{"error":"ExpiredToken","message":"jwt expired"}`), 401, "AuthenticationRequired", "jwt expired"},
		{"a token it does not like, 400", jsonError(400, `{"error":"ExpiredToken","message":"Token has expired"}`), 400, "InvalidRequest", "Token has expired"},
		{"gzip", jsonError(400, small.String(), "Content-Encoding", "gzip"), 400, "Zipped", "yes"},
		{"a bomb", jsonError(400, bomb.String(), "Content-Encoding", "gzip"), 400, "InvalidRequest", "Invalid Request"},
		{"no gzip at all", jsonError(400, "{}", "Content-Encoding", "gzip"), 400, "InvalidRequest", "Invalid Request"},
		{"an encoding nobody knows", jsonError(400, "{}", "Content-Encoding", "lzma"), 400, "InvalidRequest", "Invalid Request"},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(502)
			fmt.Fprint(w, "<h1>Bad Gateway</h1>")
		}, 502, "UpstreamFailure", "Upstream Failure"},
		{"a large error", jsonError(400, `{"error":"Large","message":"`+strings.Repeat("x", 1<<20)+`"}`), 400, "InvalidRequest", "Invalid Request"},
		{"nothing", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, "UpstreamFailure", "Upstream service unreachable"},
		{"no head in time", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 502, "UpstreamFailure", "Upstream service unreachable"},
		{"no HTTP", raw("HELLO\r\n\r\n"), 502, "UpstreamFailure", "Upstream service unreachable"},
		{"a head without end", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), 502, "UpstreamFailure", "Upstream service unreachable"},
		{"a change of protocol", raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello"), 502, "UpstreamFailure", "Upstream service unreachable"},
		{"shorter than it says", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":"), 502, "UpstreamFailure", "Upstream answer was cut"},
		{"a chunk that is cut", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"a\":"), 502, "UpstreamFailure", "Upstream answer was cut"},
		{"longer than any may be", raw("HTTP/1.1 200 OK\r\nContent-Length: 10485761\r\n\r\n{"), 502, "UpstreamFailure", "Upstream answer is too large"},
		{"a body that is stuck", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 502, "UpstreamFailure", "Upstream answer was cut"},
	} {
		u.will(tt.answer)
		h.clock.add(5 * time.Minute) // whatever the host did before is forgiven
		alice.refreshIn(h)
		r := h.get(hostA, timeline, bearer(alice.access), "cursor", tt.what)
		r.fails(tt.status, tt.name, tt.message)
		if n := h.proxy.Busy(); n != 0 {
			t.Errorf("%s: %d calls are still under way", tt.what, n)
		}
	}
	// More than it says: what it said.
	u.will(raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}and more"))
	if r := alice.ask(timeline).ok(); string(r.body) != "{}" {
		t.Errorf("%q", r.body)
	}
	// A redirect is an answer without a place.
	u.will(raw("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"))
	if r := alice.ask(timeline); r.status != 302 || r.header.Get("Location") != "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	// What is long and cut in the middle ends with its connection, never as if it were whole.
	big := strings.Repeat("x", 300<<10)
	for what, answer := range map[string]string{
		"known length":    "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + big,
		"chunks":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4b000\r\n" + big + "\r\n10\r\nx",
		"beyond all size": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + strings.Repeat(big, 40),
	} {
		u.will(raw(answer))
		r, err := h.try("GET", hostA, "/xrpc/"+timeline, nil, bearer(alice.access))
		if err == nil {
			t.Errorf("%s: %d bytes that look whole", what, len(r.body))
		}
	}
}

// refreshIn gives the user a token that is good at the house's time.
func (u *user) refreshIn(h *house) {
	u.t.Helper()
	u.access = h.post(u.host, "com.atproto.server.createSession", "", obj{"identifier": u.did, "password": userPassword}).ok().str("accessJwt")
}

// raw answers with bytes as they are, and hangs up.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = conn.Write([]byte(answer))
		_ = conn.(*net.TCPConn).CloseWrite()
		time.AfterFunc(100*time.Millisecond, func() { _ = conn.Close() })
	}
}

// TestProxyClientLeaves: a client that hangs up ends the call, before and in the middle of the answer, and while it sends.
func TestProxyClientLeaves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := newUpstream(t)
	h.set(hostA, "app_view", u.as("bsky_appview"))
	alice := h.createAccount(hostA, "alice")
	ended := make(chan string, 1)
	begun := make(chan struct{}, 1)
	for what, answer := range map[string]http.HandlerFunc{
		"before the head": func(_ http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			<-r.Context().Done()
			ended <- "ended"
		},
		"in the middle": func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
					break
				}
			}
			ended <- "ended"
		},
	} {
		u.will(answer)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-begun
			time.AfterFunc(20*time.Millisecond, cancel)
		}()
		req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+"/xrpc/"+timeline, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = hostA
		req.Header.Set("Authorization", "Bearer "+alice.access)
		res, err := h.http.Client().Do(req)
		if err == nil {
			<-ctx.Done()
			_ = res.Body.Close()
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the call goes on", what)
		}
	}
	h.settles()
}

// settles waits until no call is under way.
func (h *house) settles() {
	h.t.Helper()
	for range 400 {
		if h.proxy.Busy() == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.t.Errorf("%d calls are still under way", h.proxy.Busy())
}
