package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// speak listens and answers the n-th request of any connection with the n-th text, closing after the last.
func speak(t *testing.T, answers ...string) *conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for len(answers) > 0 {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			for len(answers) > 0 {
				if _, err := nc.Read(buf); err != nil {
					break
				}
				var a string
				a, answers = answers[0], answers[1:]
				io.WriteString(nc, a)
				if strings.Contains(a, "HTTP/1.0") || strings.Contains(a, "close") {
					break
				}
			}
			nc.Close()
		}
	}()
	g, err := newTarget(context.Background(), "http://"+l.Addr().String(), "", false, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(g)
	c.all = true
	t.Cleanup(c.close)
	return c
}

func TestAnswersOfEveryForm(t *testing.T) {
	big := strings.Repeat("x", 200_000)
	for _, c := range []struct {
		raw, body string
		status    int
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-LENGTH:2\r\n\r\nhi", "hi", 200},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n", "hello world", 200},
		{"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}", "{}", 400},
		{"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", 200},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", "to the end", 200},
		{"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + big, big, 200},
	} {
		// Twice, to see that the next answer starts where this one ended or on a new connection.
		conn := speak(t, c.raw, c.raw)
		for range 2 {
			a, err := conn.do([]byte("GET / HTTP/1.1\r\n\r\n"), time.Now())
			if err != nil || a.status != c.status || string(a.body) != c.body || a.length != int64(len(c.body)) {
				t.Errorf("%.60q: %d %.30q (%d bytes), %v", c.raw, a.status, a.body, a.length, err)
			}
		}
	}
}

func TestBrokenAnswers(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	} {
		conn := speak(t, raw)
		a, err := conn.do([]byte("GET / HTTP/1.1\r\n\r\n"), time.Now())
		if err == nil {
			t.Errorf("%q: %+v, %v", raw, a, err)
		}
		if conn.nc != nil {
			t.Errorf("%q: the connection is kept", raw)
		}
	}
}

func TestOnlyErrorsAreKeptDuringARun(t *testing.T) {
	c := speak(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 400 No\r\nContent-Length: 29\r\n\r\n{\"error\":\"A\",\"message\":\"b c\"}")
	c.all = false
	a, err := c.do([]byte("GET / HTTP/1.1\r\n\r\n"), time.Now())
	if err != nil || len(a.body) != 0 || a.length != 5 {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = c.do([]byte("GET / HTTP/1.1\r\n\r\n"), time.Now())
	if e := newXRPCError(a); err != nil || e.Name != "A" || e.Message != "b c" || e.Status != 400 {
		t.Errorf("%+v, %v", e, err)
	}
}
