package handlers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// hastened lets the deadlines of bodies come twenty times as soon.
type hastened struct{ http.ResponseWriter }

func (w *hastened) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *hastened) ReadFrom(src io.Reader) (int64, error) {
	return w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

func (w *hastened) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t = time.Now().Add(time.Until(t) / 20)
	}
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// hastenedHouse is the address at which the house's server answers so.
func hastenedHouse(t *testing.T, h *house) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.server.ServeHTTP(&hastened{w}, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// TestAnnouncedBodies: who announces a body and does not send it, or hardly, is rid of soon, whatever path, host or method
// it names, and whether or not the call was refused.
func TestAnnouncedBodies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	addr := hastenedHouse(t, h)
	alice := h.createAccount(hostA, "alice")
	token := bearer(alice.access)
	length, chunked := "Content-Length: 9", "Transfer-Encoding: chunked"
	type held struct {
		what, line, host string
		headers          []string
		sent             string // of the body
		drip             string // and then every 20 ms
	}
	var all []held
	for _, announced := range []string{length, chunked} {
		add := func(what, line, host string, headers ...string) {
			all = append(all, held{what: what + ", " + announced, line: line, host: host, headers: append(headers, announced)})
		}
		for _, path := range []string{"/", "/nope", "/xrpc/nope", "/xrpc/com.example.no.such", "//", "/xrpc/" + createSession, "/img/avatar/x/y", "/oauth/token", "/docs"} {
			add(path, "POST "+path, hostA, jsonBody)
			add(path+" of nobody", "POST "+path, "nobody.example", jsonBody)
		}
		add("handle host", "POST /", "alice."+hostA)
		add("no type", "POST /xrpc/"+createSession, hostA)
		add("no token", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, "Content-Type: image/png")
		add("upload", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, "Content-Type: image/png", token)
		add("record", "POST /xrpc/com.atproto.repo.createRecord", hostA, jsonBody, token)
		add("encoded record", "POST /xrpc/com.atproto.repo.createRecord", hostA, jsonBody, token, "Content-Encoding: gzip")
		add("import", "POST /xrpc/com.atproto.repo.importRepo", hostA, "Content-Type: application/vnd.ipld.car", token)
		add("get", "GET /xrpc/com.atproto.server.describeServer", hostA)
		add("head", "HEAD /xrpc/com.atproto.server.describeServer", hostA)
		add("page", "GET /", hostA)
		add("preflight", "OPTIONS /xrpc/"+createSession, hostA, "Origin: https://x.test")
		add("connect", "CONNECT "+hostA+":443", hostA)
		add("expect", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, "Content-Type: image/png", token, "Expect: 100-continue")
		add("expect refused", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, "Content-Type: image/png", "Expect: 100-continue")
		add("no socket", "GET /xrpc/com.atproto.sync.subscribeRepos", hostA)
		add("half a socket", "GET /xrpc/com.atproto.sync.subscribeRepos", hostA, "Upgrade: websocket", "Connection: Upgrade")
	}
	all = append(all,
		held{"drip", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, []string{"Content-Type: image/png", token, "Content-Length: 100000"}, "", "x"},
		held{"drip of chunks", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, []string{"Content-Type: image/png", token, chunked}, "", "1\r\nx\r\n"},
		held{"drip nobody reads", "POST /", hostA, []string{"Content-Length: 100000"}, "", "x"},
		held{"drip of an encoded record", "POST /xrpc/com.atproto.repo.createRecord", hostA, []string{jsonBody, token, "Content-Length: 100000"}, "", "x"},
		held{"much and then nothing", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, []string{"Content-Type: image/png", token, "Content-Length: 5000000"}, strings.Repeat("x", 4_000_000), ""},
		held{"chunks without an end", "POST /xrpc/com.atproto.repo.uploadBlob", hostA, []string{"Content-Type: image/png", token, chunked}, "3\r\nabc\r\n0\r\nTrailer: ", ""},
	)
	var wg sync.WaitGroup
	for _, one := range all {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Errorf("%s (%s): still open after a minute", one.what, one.line)
				}
			}()
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n%s", one.line, one.host, strings.Join(one.headers, "\r\n"), one.sent)
			for one.drip != "" {
				select {
				case <-gone:
					return
				case <-time.After(20 * time.Millisecond):
					_, _ = io.WriteString(c, one.drip)
				}
			}
			<-gone
		})
	}
	wg.Wait()
}

// TestRefusedConnectionServesOn: a refusal costs no connection when its small body has come, and ends it otherwise.
func TestRefusedConnectionServesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		headers, body string
		closes        bool
	}{
		{"Content-Length: 2", "{}", false},
		{"Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n", false},
		{"Content-Length: 60000", strings.Repeat(" ", 60_000), false},
		{"Content-Length: 200000", strings.Repeat(" ", 200_000), true},
		{"Content-Length: 3", "{}", true},
		{"Expect: 100-continue\r\nContent-Length: 2", "", true},
	} {
		c, err := net.Dial("tcp", h.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReader(c)
		for range 2 {
			fmt.Fprintf(c, "POST /xrpc/com.atproto.repo.createRecord HTTP/1.1\r\nHost: %s\r\n%s\r\n%s\r\n\r\n%s", hostA, jsonBody, tt.headers, tt.body)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%s: %v", tt.headers, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if res.StatusCode != 401 || res.Close != tt.closes {
				t.Errorf("%s: %d, closes %v", tt.headers, res.StatusCode, res.Close)
			}
			if tt.closes {
				if _, err := r.ReadByte(); err == nil {
					t.Errorf("%s: more after the last answer", tt.headers)
				}
				break
			}
		}
	}
}
