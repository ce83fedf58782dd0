package handlers

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/andybalholm/brotli"
)

// TestHTTPRules: what holds for every method, on the real ones. gate_test.go has the same for the frame alone.
func TestHTTPRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	token := bearer(alice.access)
	record := `{"repo":"` + alice.did + `","collection":"` + custom + `","record":{"a":1}}`
	for nsid, op := range h.server.Operations {
		if op.Kind == xrpc.SubscriptionKind {
			continue
		}
		wrong := map[string]string{"GET": "POST", "POST": "GET"}[op.Kind.Verb()]
		for _, verb := range []string{wrong, "PUT", "DELETE", "PATCH"} {
			h.raw(verb, hostA, "/xrpc/"+nsid, nil).fails(400, "InvalidRequest", "Incorrect HTTP method ("+verb+") expected "+op.Kind.Verb())
		}
		h.raw(op.Kind.Verb(), hostA, "/xrpc/"+nsid+"/", nil).fails(400, "InvalidRequest", "invalid xrpc path")
		// Names are exact: this one is not ours, and what is protected is so in any case of letters.
		switch r := h.raw(op.Kind.Verb(), hostA, "/xrpc/"+strings.ToUpper(nsid), nil); {
		case strings.HasPrefix(nsid, xrpc.OwnNamespace):
			r.fails(501, "MethodNotImplemented", "")
		case isProtected(nsid):
			r.fails(400, "InvalidToken", "Bad token method")
		default:
			r.fails(400, "InvalidRequest", "No service configured for "+strings.ToUpper(nsid))
		}
		if r := h.raw("OPTIONS", hostA, "/xrpc/"+nsid, nil, "Origin: https://x.test"); r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", r.what, r.status, r.header)
		}
	}
	createPath := "/xrpc/com.atproto.repo.createRecord"
	deep := "/xrpc/com.atproto.server.deleteSession"
	for _, tt := range []struct {
		verb, target string
		body         any
		headers      []string
		status       int
		name, part   string
	}{
		{"GET", "/xrpc/com.example.no.such", nil, nil, 400, "InvalidRequest", "No service configured for com.example.no.such"},
		{"POST", "/xrpc/app.bsky.feed.getTimeline", "{}", nil, 400, "InvalidRequest", "No service configured for app.bsky.feed.getTimeline"},
		{"GET", "/xrpc/", nil, nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"GET", "/xrpc/nope", nil, nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"GET", "/xrpc/com.atproto.server.describeServer%2f", nil, nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"GET", "/xrpc/com.atproto.server.describeServer%00", nil, nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"GET", "/xrpc/%ff", nil, nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"POST", createPath, nil, []string{jsonBody, token}, 400, "InvalidRequest", "A request body is expected but none was provided"},
		{"POST", createPath, record, []string{token}, 400, "InvalidRequest", "Content-Type"},
		{"POST", createPath, record, []string{token, "Content-Type: application/octet-stream"}, 400, "InvalidRequest", "Wrong request encoding (Content-Type): application/octet-stream"},
		{"POST", createPath, record, []string{token, "Content-Type: application/jsonx"}, 400, "InvalidRequest", "Wrong request encoding"},
		{"POST", createPath, record, []string{token, jsonBody, "Content-Encoding: compress"}, 415, "UnsupportedMediaType", ""},
		{"POST", createPath, record, []string{token, jsonBody, "Content-Encoding: gzip"}, 400, "InvalidRequest", "cannot be decoded"},
		{"POST", createPath, record, []string{token, jsonBody, "Content-Encoding: br"}, 400, "InvalidRequest", "cannot be decoded"},
		{"POST", createPath, record, []string{token, jsonBody, "Content-Encoding: deflate"}, 400, "InvalidRequest", ""},
		{"POST", createPath, record, []string{token, jsonBody, "Content-Encoding: gzip, gzip, gzip, gzip, gzip"}, 415, "UnsupportedMediaType", ""},
		{"POST", deep, "x", []string{bearer(alice.refresh)}, 400, "InvalidRequest", "none was expected"},
		{"POST", deep, strings.NewReader("x"), []string{bearer(alice.refresh)}, 400, "InvalidRequest", "none was expected"},
		{"POST", deep, "{}", []string{bearer(alice.refresh), jsonBody}, 400, "InvalidRequest", "none was expected"},
		// parameters, caller, body
		{"GET", "/xrpc/com.atproto.sync.getRepo?did=junk", nil, []string{"Authorization: Bearer junk"}, 400, "InvalidRequest", "did must be a valid DID"},
		{"POST", createPath, "{", []string{jsonBody}, 401, "AuthMissing", "Authentication Required"},
		{"POST", createPath, "{", []string{jsonBody, "Authorization: Bearer junk"}, 400, "InvalidToken", ""},
		{"POST", createPath, "{", []string{jsonBody, token}, 400, "InvalidRequest", "ends in the middle"},
		{"POST", "/xrpc/com.atproto.server.createInviteCode", "{", []string{jsonBody}, 401, "AuthenticationRequired", ""},
	} {
		h.raw(tt.verb, hostA, tt.target, tt.body, tt.headers...).fails(tt.status, tt.name, tt.part)
	}
	// A charset does not matter; unknown parameters and members do not either.
	h.raw("POST", hostA, createPath+"?x=1", strings.Replace(record, "{", `{"more":{"x":[1]},`, 1), token, "Content-Type: application/json; charset=UTF-8").ok()
	h.check()
	// What is said of one account is nobody else's to keep.
	for _, r := range []reply{alice.ask("com.atproto.server.getSession").ok(), h.post(hostA, "com.atproto.repo.createRecord", token, obj{}), h.get(hostA, "com.atproto.sync.getRepo", token, "did", alice.did).ok()} {
		if r.header.Get("Cache-Control") != "private" || !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Authorization") {
			t.Errorf("%s: %v", r.what, r.header)
		}
	}
}

func TestBodiesOnTheWire(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	token := bearer(alice.access)
	head, tail := `{"repo":"`+alice.did+`","collection":"`+custom+`","record":{"text":"`, `"}}`
	sized := func(n int) string { return head + strings.Repeat("x", n-len(head)-len(tail)) + tail }
	send := func(body any, more ...string) reply {
		return h.raw("POST", hostA, "/xrpc/com.atproto.repo.createRecord", body, append([]string{jsonBody, token}, more...)...)
	}
	pack := func(wrap func(io.Writer) io.WriteCloser, s string) []byte {
		var b bytes.Buffer
		z := wrap(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.Bytes()
	}
	gz := func(w io.Writer) io.WriteCloser { z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed); return z }
	br := func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, brotli.BestSpeed) }
	send(sized(1_000_000)).ok()
	send(strings.NewReader(sized(1_000_000))).ok()
	send(pack(gz, sized(1_000_000)), "Content-Encoding: gzip").ok()
	send(pack(br, sized(1_000_000)), "Content-Encoding: br").ok()
	send(pack(br, string(pack(gz, sized(1000)))), "Content-Encoding: gzip, br").ok()
	h.check()
	for _, r := range []reply{
		send(sized(1_000_001)), send(strings.NewReader(sized(1_000_001))), send(pack(gz, sized(1_000_001)), "Content-Encoding: gzip"),
		send(pack(gz, strings.Repeat("x", 30_000_000)), "Content-Encoding: gzip"),                         // a bomb
		send(pack(gz, string(pack(gz, strings.Repeat("x", 10_000_000)))), "Content-Encoding: gzip, gzip"), // two
	} {
		r.fails(413, "PayloadTooLargeError", "request entity too large")
	}
	session := func(n int) reply {
		head, tail := `{"identifier":"x","password":"`, `"}`
		return h.raw("POST", hostA, "/xrpc/"+createSession, head+strings.Repeat("x", n-len(head)-len(tail))+tail, jsonBody)
	}
	session(150<<10).fails(401, "AuthenticationRequired", "Password too long")
	session(150<<10+1).fails(413, "PayloadTooLargeError", "")
	h.check()

	// A client that announces more than it sends, and goes: nothing happens, nobody waits.
	cidText, _ := alice.head()
	for _, part := range []string{sized(1000)[:500], sized(1000)[:999]} {
		c, err := net.Dial("tcp", h.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST /xrpc/com.atproto.repo.createRecord HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\nContent-Length: 1000\r\n\r\n%s", hostA, token, part)
		time.Sleep(20 * time.Millisecond)
		_ = c.Close()
	}
	time.Sleep(50 * time.Millisecond)
	if now, _ := alice.head(); now != cidText {
		t.Error("half a request made a commit")
	}
}

// TestNothingIsEchoed: no answer repeats a password or tells what the server is made of.
func TestNothingIsEchoed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createAccount(hostA, "alice")
	for _, nsid := range []string{createAccount, createSession} {
		for _, body := range []string{
			`{"identifier":"alice.a.test","password":"hunter2-secret!","handle":"alice.a.test","email":"x@example.com"}`,
			`{"identifier":1,"password":"hunter2-secret!","handle":1}`,
			`{"identifier":"alice.a.test","password":{"a":"hunter2-secret!"},"handle":"bob.a.test"}`,
			`{"identifier":"alice.a.test","password":["hunter2-secret!"],"handle":"bob.a.test"}`,
			`{"password":"hunter2-secret!"}`, `{"password":"hunter2-secret!"`, `{"password":"hunter2-secret!","password":"hunter2-secret!"}`,
			`{"hunter2-secret!":1,"hunter2-secret!":2}`, `{"identifier":"hunter2-secret!","password":null,"handle":"hunter2-secret!"}`,
			`"hunter2-secret!"`, `["hunter2-secret!"]`, `hunter2-secret!`, `{"identifier":"x","password":"` + "\xff" + `hunter2-secret!"}`,
			`{"identifier":"a","handle":"carol.a.test","email":"hunter2-secret!","password":"hunter2-secret!"}`,
		} {
			r := h.raw("POST", hostA, "/xrpc/"+nsid, body, jsonBody)
			if r.status < 400 || r.status >= 500 {
				t.Errorf("%s %s: %d %s", nsid, body, r.status, r.body)
			}
			for _, word := range []string{"hunter2", "json:", "huma", ".go", "pgx", "SQL", "goroutine", "Unmarshal", "struct", "handlers."} {
				if strings.Contains(string(r.body), word) {
					t.Errorf("%s %s: says %q: %s", nsid, body, word, r.body)
				}
			}
		}
	}
	if lines := h.log.text.Load(); lines != nil && strings.Contains(strings.Join(*lines, "\n"), "hunter2") {
		t.Error("the log has a password")
	}
}
