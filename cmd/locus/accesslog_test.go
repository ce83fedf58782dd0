package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/xrpc"
)

// TestRequestLog: each request has a line with who, what and how long, under the id that it was answered with; a trusted
// proxy gives the id; no token is in any line, and a failed sign-in has the form that other programs read.
func TestRequestLog(t *testing.T) {
	t.Parallel()
	log := new(lockedBuffer)
	s := serveAs(t, t.TempDir(), func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+dbtest.EmptyURL(t))
		cmd.Args = append(cmd.Args, "--access-log", "all", "--log-format", "json")
		cmd.Stderr = log
	})
	defer s.stop()
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": devPassword})
	var session struct{ AccessJwt, DID string }
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatal(status, body, err)
	}
	ask := func(path, id string) string {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+path, nil)
		must(t, err)
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer "+session.AccessJwt)
		r.Header.Set("X-Request-Id", id)
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		resp.Body.Close()
		return resp.Header.Get("X-Request-Id")
	}
	if id := ask("/xrpc/com.atproto.server.getSession", "from-a-proxy"); id != "from-a-proxy" {
		t.Errorf("answered with id %q", id)
	}
	if id := ask("/nothing?secret=hidden", "not sane"); id == "" || strings.Contains(id, " ") {
		t.Errorf("answered with id %q", id)
	}
	ask("/xrpc/_health", "probe")
	s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": "a-wrong-password"})
	line := func(has string) map[string]any {
		var found map[string]any
		eventually(t, has, func() bool {
			for text := range strings.Lines(log.String()) {
				if strings.Contains(text, has) {
					must(t, json.Unmarshal([]byte(text), &found))
					return true
				}
			}
			return false
		})
		return found
	}
	got := line(`"id":"from-a-proxy"`)
	for name, want := range map[string]any{
		"msg": "request", "tenant": "localhost", "account": session.DID, "address": "198.51.100.7", "method": "com.atproto.server.getSession", "verb": "GET", "code": 200.0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, not %v", name, got[name], want)
		}
	}
	if ms, ok := got["ms"].(float64); !ok || ms < 0 {
		t.Error(got)
	}
	if got := line(`"path":"/nothing"`); got["code"] != 404.0 || got["method"] != "page" {
		t.Error(got)
	}
	failed := line(`"msg":"failed sign-in"`)
	if failed["address"] != "127.0.0.1" || failed["wrong"] != "password" || failed["id"] == nil {
		t.Error(failed)
	}
	text := log.String()
	for _, secret := range []string{session.AccessJwt, devPassword, "a-wrong-password", "hidden", `"id":"probe"`} {
		if strings.Contains(text, secret) {
			t.Errorf("the log says %s", secret)
		}
	}
}

func answered(path string, status int) *xrpc.Answered {
	return &xrpc.Answered{Request: httptest.NewRequest("GET", path, nil), Method: "page", Status: status}
}

// TestSampling: one in N, failures always but not without end, and nothing where nothing is wanted.
func TestSampling(t *testing.T) {
	var text bytes.Buffer
	l, err := newAccessLog(slog.New(slog.NewTextHandler(&text, nil)), "1/10")
	must(t, err)
	lines := func(status, n int) int {
		text.Reset()
		for range n {
			l.note(answered("/x", status))
		}
		return strings.Count(text.String(), "msg=request")
	}
	if n := lines(200, 100); n != 10 {
		t.Errorf("%d of 100", n)
	}
	must(t, l.choose("errors"))
	if n := lines(404, 100); n != 0 {
		t.Errorf("%d of 100", n)
	}
	now := time.Unix(0, 0)
	written, unsaid := 0, 0
	for i := range 10 * failuresWritten {
		if i == 9*failuresWritten {
			now = now.Add(time.Minute)
		}
		if n, ok := l.mayFail(503, now); ok {
			written, unsaid = written+1, unsaid+n
		}
	}
	if written != 2*failuresWritten || unsaid != 8*failuresWritten {
		t.Errorf("%d written, %d counted", written, unsaid)
	}
	must(t, l.choose("off"))
	if n := lines(500, 5); n != 0 {
		t.Errorf("%d lines though it is off", n)
	}
	for _, wrong := range []string{"1/0", "1/x", "some"} {
		if err := l.choose(wrong); !errors.Is(err, errAccessLog) {
			t.Error(wrong, err)
		}
	}
	for _, path := range []string{"/xrpc/_health"} {
		must(t, l.choose("all"))
		text.Reset()
		l.note(answered(path, 200))
		if text.Len() > 0 {
			t.Error(text.String())
		}
	}
}

// TestCalm: an outage that many meet is a few lines and a number; what other programs read is never left out.
func TestCalm(t *testing.T) {
	var text bytes.Buffer
	var later []func()
	log := slog.New(newCalm(slog.NewTextHandler(&text, nil), func(_ time.Duration, f func()) { later = append(later, f) }))
	for range 100 {
		log.Error("request failed", "err", "the store is away")
		log.Warn("failed sign-in", "address", "192.0.2.1")
		log.Info("of no concern")
	}
	for what, want := range map[string]int{"request failed": calmLines, "failed sign-in": 100, "of no concern": 100} {
		if n := strings.Count(text.String(), what); n != want {
			t.Errorf("%s: %d lines, not %d", what, n, want)
		}
	}
	if len(later) != 1 {
		t.Fatal(len(later))
	}
	text.Reset()
	later[0]()
	if !regexp.MustCompile(`level=ERROR msg="more of the same" message="request failed" unsaid=90\n$`).MatchString(text.String()) {
		t.Error(text.String())
	}
	log.ErrorContext(context.Background(), "request failed")
	if len(later) != 2 {
		t.Error("the next minute has no end")
	}
}

// BenchmarkAccessLine is what a line costs a request, and what none costs.
func BenchmarkAccessLine(b *testing.B) {
	for _, choice := range []string{"errors", "all"} {
		b.Run(choice, func(b *testing.B) {
			l, err := newAccessLog(slog.New(newCalm(slog.NewTextHandler(discard{}, nil), func(time.Duration, func()) {})), choice)
			if err != nil {
				b.Fatal(err)
			}
			a := answered("/x", 200)
			b.ReportAllocs()
			for b.Loop() {
				l.note(a)
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
