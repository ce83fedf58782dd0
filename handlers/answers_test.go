package handlers

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
)

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	s, _ := exampleServer(t)
	for _, tt := range []struct {
		what, method, target, body string
		headers                    []string
		want                       string
	}{
		{"query", "GET", "/xrpc/com.atproto.server.describeServer?unknown=1", "", nil, `{"availableUserDomains":[".alpha.test"],"did":"did:web:alpha.test"}`},
		{"parameters without a value", "GET", "/xrpc/com.atproto.server.describeServer?flag&x", "", []string{"Content-Type: application/json"}, `{"availableUserDomains":[".alpha.test"],"did":"did:web:alpha.test"}`},
		{"big integers stay", "GET", "/xrpc/com.atproto.repo.listRecords?flag&repo=alice%2Etest&collection=a.b.c&limit=1", "", nil, `{"records":[{"uri":"","cid":"","value":{"n":9007199254740993}}]}`},
		{"procedure", "POST", create, `{"repo":"Alice.Test","collection":"a.b.c","rkey":"k","record":{"z": 1},"more":null}`, []string{"Content-Type: application/json; charset=utf-8", asAlice},
			`{"uri":"at://did:plc:alice/a.b.c/k","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","commit":{"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","rev":"3jqfcqzm3fo2j"},"validationStatus":"{\"z\": 1}"}`},
		{"unions", "POST", "/xrpc/com.atproto.repo.applyWrites", `{"repo":"did:plc:alice","writes":[{"$type":"com.atproto.repo.applyWrites#create","collection":"a.b.c","value":{}},{"$type":"com.atproto.repo.applyWrites#delete","collection":"a.b.c","rkey":"k"}]}`, []string{jsonBody, asAlice},
			`{"results":[{"$type":"com.atproto.repo.applyWrites#createResult","uri":"at://x/a.b.c","cid":"bafy"},{"$type":"com.atproto.repo.applyWrites#deleteResult"}]}`},
		{"absent", "POST", "/xrpc/com.atproto.repo.putRecord", `{"repo":"did:plc:alice","collection":"a.b.c","rkey":"k","record":{}}`, []string{jsonBody, asAlice}, `{"uri":"","cid":"","validationStatus":"absent"}`},
		{"null", "POST", "/xrpc/com.atproto.repo.putRecord", `{"repo":"did:plc:alice","collection":"a.b.c","rkey":"k","record":{},"swapRecord":null}`, []string{jsonBody, asAlice}, `{"uri":"","cid":"","validationStatus":"null"}`},
		{"stream", "GET", "/xrpc/com.atproto.sync.getRepo?did=did:plc:alice", "", nil, `archive of did:plc:alice`},
		{"stream to its owner", "GET", "/xrpc/com.atproto.sync.getRepo?did=did:plc:alice", "", []string{asAlice}, `hidden archive of did:plc:alice`},
		{"stream to the operator", "GET", "/xrpc/com.atproto.sync.getRepo?did=did:plc:alice", "", []string{"Authorization: Basic right"}, `hidden archive of did:plc:alice`},
		{"refresh, expired", "POST", "/xrpc/com.atproto.server.deleteSession", "", []string{"Authorization: Bearer past"}, ``},
		{"operator", "POST", "/xrpc/com.atproto.server.createInviteCode", `{"useCount":1}`, []string{jsonBody, "Authorization: Basic right"}, `{"code":"admin"}`},
		{"archive", "POST", "/xrpc/com.atproto.repo.importRepo", "archive", []string{"Content-Type: application/vnd.ipld.car"}, ``},
		{"upload", "POST", "/xrpc/com.atproto.repo.uploadBlob", "12345", []string{"Content-Type: image/png", asAlice}, `{"blob":{"$type":"blob","ref":{"$link":""},"mimeType":"image/png","size":5}}`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w := ask(s, tt.method, tt.target, tt.body, tt.headers...)
			if w.Code != 200 || w.Body.String() != tt.want {
				t.Errorf("got %d %s\nwant %s", w.Code, w.Body, tt.want)
			}
			private := w.Header().Get("Cache-Control") == "private" && strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Authorization")
			if authed := strings.Contains(strings.Join(tt.headers, "\n"), "Authorization"); private != authed {
				t.Errorf("Cache-Control %q, Vary %q", w.Header().Get("Cache-Control"), w.Header().Values("Vary"))
			}
		})
	}
}

func TestBodyLimits(t *testing.T) {
	s, _ := exampleServer(t)
	head, tail := `{"repo":"did:plc:alice","collection":"a.b.c","record":{"a":"`, `"}}`
	sized := func(n int) string { return head + strings.Repeat("x", n-len(head)-len(tail)) + tail }
	if w := ask(s, "POST", create, sized(recordBodyLimit), jsonBody, asAlice); w.Code != 200 {
		t.Errorf("exactly the limit: %d %.200s", w.Code, w.Body)
	}
	wantError(t, ask(s, "POST", create, sized(recordBodyLimit+1), jsonBody, asAlice), 413, "PayloadTooLargeError", "request entity too large")

	chunked := func(body string) *http.Request {
		r := httptest.NewRequest("POST", create, io.MultiReader(strings.NewReader(body)))
		r.Host, r.ContentLength = "alpha.test", -1
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer alice")
		return r
	}
	if w := serve(s, chunked(sized(recordBodyLimit))); w.Code != 200 {
		t.Errorf("exactly the limit, chunked: %d %.200s", w.Code, w.Body)
	}
	wantError(t, serve(s, chunked(sized(recordBodyLimit+1))), 413, "PayloadTooLargeError", "")

	upload := func(n int) *httptest.ResponseRecorder {
		return ask(s, "POST", "/xrpc/com.atproto.repo.uploadBlob", strings.Repeat("x", n), "Content-Type: a/b", asAlice)
	}
	if w := upload(1000); w.Code != 200 {
		t.Errorf("blob of exactly the limit: %d %s", w.Code, w.Body)
	}
	wantError(t, upload(1001), 413, "PayloadTooLarge", "")
}

func TestEncodedBodies(t *testing.T) {
	s, _ := exampleServer(t)
	head, tail := `{"repo":"did:plc:alice","collection":"a.b.c","record":{"a":"`, `"}}`
	for name, wrap := range map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	} {
		send := func(n int) *httptest.ResponseRecorder {
			var b bytes.Buffer
			z := wrap(&b)
			_, _ = io.WriteString(z, head+strings.Repeat("x", n-len(head)-len(tail))+tail)
			_ = z.Close()
			return ask(s, "POST", create, b.String(), jsonBody, asAlice, "Content-Encoding: "+name)
		}
		if w := send(recordBodyLimit); w.Code != 200 {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body)
		}
		// A small body that unpacks to a large one is cut at the limit.
		wantError(t, send(4_000_000), 413, "PayloadTooLargeError", "")
	}
}

func TestCompressedAnswers(t *testing.T) {
	s, _ := exampleServer(t)
	w := ask(s, "GET", "/xrpc/com.atproto.sync.getBlocks?did=did:plc:alice&cids=bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a", "", "Accept-Encoding: gzip")
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 10<<10 {
		t.Fatalf("archive not compressed: %v, %d bytes", w.Header(), w.Body.Len())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || len(b) != 100<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	w = ask(s, "GET", "/xrpc/com.atproto.server.describeServer", "", "Accept-Encoding: gzip")
	if w.Header().Get("Content-Encoding") != "" {
		t.Error("a small answer was compressed")
	}
	w = ask(s, "GET", "/xrpc/com.atproto.repo.listRecords?repo=a.test&collection=a.b.c&limit=100", "", "Accept-Encoding: gzip")
	if w.Header().Get("Content-Encoding") != "gzip" {
		t.Error("a large JSON answer was not compressed")
	}
}

// A stream that breaks after it began must not look whole.
func TestBrokenStream(t *testing.T) {
	s, _ := exampleServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	cid := "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	r, _ := http.NewRequest("GET", server.URL+"/xrpc/com.atproto.sync.getBlocks?did=did:plc:alice&cids="+cid+"&cids="+cid, nil)
	r.Host = "alpha.test"
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return // nothing had left the buffers yet: as good
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the broken stream ended without an error")
	}
}

func TestCORS(t *testing.T) {
	s, _ := exampleServer(t)
	w := ask(s, "OPTIONS", create, "", "Origin: https://app.test", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type")
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Max-Age") != "86400" ||
		h.Get("Access-Control-Allow-Headers") != "authorization,content-type" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("%d %v", w.Code, h)
	}
	if !strings.Contains(h.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Error("DPoP-Nonce is not exposed")
	}
}

func TestPages(t *testing.T) {
	s, _ := exampleServer(t)
	for target, part := range map[string]string{
		"/":             "AT Protocol",
		"/robots.txt":   "Allow: /",
		"/docs":         "<!doctype html>",
		"/openapi.json": `"/xrpc/com.atproto.repo.createRecord"`,
		"/openapi.yaml": "openapi: 3.1.0",
	} {
		if w := ask(s, "GET", target, ""); w.Code != 200 || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d %.300s", target, w.Code, w.Body)
		}
	}
}

// deadlines is a ResponseWriter that keeps the read deadlines it was given.
type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

// A body has a deadline while it is read and none after: one left standing would end the request's context
// under a handler that works longer.
func TestReadDeadlines(t *testing.T) {
	s, _ := exampleServer(t)
	for target, r := range map[string]*http.Request{
		"json":      httptest.NewRequest("POST", create, strings.NewReader(`{"repo":"did:plc:alice","collection":"a.b.c","record":{}}`)),
		"too large": httptest.NewRequest("POST", create, io.MultiReader(strings.NewReader(strings.Repeat(" ", recordBodyLimit+10)))),
		"stream":    httptest.NewRequest("POST", "/xrpc/com.atproto.repo.uploadBlob", strings.NewReader("bytes")),
	} {
		r.Host = "alpha.test"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer alice")
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		s.ServeHTTP(w, r)
		if n := len(w.read); n < 2 || w.read[0].IsZero() || !w.read[n-1].IsZero() {
			t.Errorf("%s: %d, deadlines %v", target, w.Code, w.read)
		}
	}
}

// A client that stops in the middle of its body is no failure of ours.
func TestClientGone(t *testing.T) {
	s, _ := exampleServer(t)
	var logged bytes.Buffer
	s.Log = slog.New(slog.NewTextHandler(&logged, nil))
	server := httptest.NewServer(s)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nHost: alpha.test\r\nAuthorization: Bearer alice\r\nContent-Type: a/b\r\nContent-Length: 900\r\n\r\nhalf")
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	server.Close()
	if strings.Contains(string(answer), "200 OK") || logged.Len() > 0 {
		t.Errorf("answer %q, log %q", answer, logged.String())
	}
}
