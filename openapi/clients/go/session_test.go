package locusclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// standIn is a server that takes one access token, and what it saw.
type standIn struct {
	*httptest.Server
	mu        sync.Mutex
	valid     string // the access token that is taken
	refreshes atomic.Int64
	refusing  bool // refreshing
	seen      []*http.Request
	bodies    []string
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{valid: "access"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.bodies = append(s.seen, r), append(s.bodies, string(body))
	w.Header().Set("Content-Type", "application/json")
	authorization := r.Header.Get("Authorization")
	refused := func(name string) {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"error":%q,"message":"no"}`, name)
	}
	if strings.HasSuffix(r.URL.Path, "/com.atproto.server.refreshSession") {
		n := s.refreshes.Add(1)
		if s.refusing || authorization != fmt.Sprint("Bearer refresh", n-1) {
			refused("ExpiredToken")
			return
		}
		s.valid = fmt.Sprint("access", n)
		fmt.Fprintf(w, `{"accessJwt":%q,"refreshJwt":"refresh%d","did":"did:plc:x","handle":"x.test"}`, s.valid, n)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/com.atproto.server.getSession") || authorization != "" && !strings.HasPrefix(authorization, "Basic ") {
		if authorization != "Bearer "+s.valid && strings.HasPrefix(authorization, "Bearer access") {
			refused("ExpiredToken")
			return
		}
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/example.pages"):
		next := map[string]string{"": `,"cursor":"b"`, "b": `,"cursor":"c"`, "c": ""}[r.URL.Query().Get("cursor")]
		fmt.Fprintf(w, `{"things":[%q]%s}`, r.URL.Query().Get("cursor"), next)
	case strings.HasSuffix(r.URL.Path, "/example.refused"):
		refused("InvalidSwap")
	case strings.HasSuffix(r.URL.Path, "/com.atproto.repo.uploadBlob"):
		io.WriteString(w, `{"blob":{"$type":"blob","ref":{"$link":"bafkrei"},"mimeType":"text/plain","size":3}}`)
	default:
		io.WriteString(w, `{"did":"did:plc:x","handle":"x.test"}`)
	}
}

func client(t *testing.T, s *standIn) *PDS {
	t.Helper()
	p, err := New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// last is the newest request.
func (s *standIn) last() *http.Request { return s.seen[len(s.seen)-1] }

// Which token goes out.
func TestTokens(t *testing.T) {
	s, ctx := newStandIn(t), context.Background()
	p := client(t, s)
	call := func(want string, editors ...RequestEditorFn) {
		t.Helper()
		r, err := p.ComAtprotoServerGetSessionWithResponse(ctx, editors...)
		if err := Check(r, err); err != nil || s.last().Header.Get("Authorization") != want {
			t.Errorf("%v, sent %q, want %q", err, s.last().Header.Get("Authorization"), want)
		}
	}
	call("")
	p.Resume(Tokens{"did:plc:x", "access", "refresh0"})
	call("Bearer access")
	call("Basic YWRtaW46c2VjcmV0", AsOperator("secret"))
	if err := p.SignOut(ctx); err != nil || s.last().Header.Get("Authorization") != "Bearer refresh0" || p.DID() != "" {
		t.Errorf("sign out: %v, %q", err, s.last().Header.Get("Authorization"))
	}
	call("")
}

// Calls that find the session expired at once share one refresh, and are made again with their bodies.
func TestRefreshIsShared(t *testing.T) {
	s, ctx := newStandIn(t), context.Background()
	p := client(t, s)
	p.Resume(Tokens{"did:plc:x", "access-old", "refresh0"})
	var kept atomic.Pointer[Tokens]
	p.OnRefresh(func(t Tokens) { kept.Store(&t) })
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			if _, err := Post[map[string]any](ctx, p, "example.write", map[string]int{"n": i}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := s.refreshes.Load(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if k := kept.Load(); k == nil || k.RefreshJwt != "refresh1" || p.Tokens() != *k {
		t.Errorf("kept %+v, has %+v", k, p.Tokens())
	}
	good := map[string]bool{}
	for i, r := range s.seen {
		if r.Header.Get("Authorization") == "Bearer access1" {
			good[s.bodies[i]] = true
		}
	}
	if len(good) != 20 {
		t.Errorf("%d different bodies arrived after the refresh", len(good))
	}
}

// A session that cannot be refreshed, or is refused right after, is told as it was: once, without a loop.
func TestRefreshFails(t *testing.T) {
	s, ctx := newStandIn(t), context.Background()
	p := client(t, s)
	s.refusing = true
	p.Resume(Tokens{"did:plc:x", "access-old", "refresh0"})
	_, err := Get[map[string]any](ctx, p, "example.read", nil)
	if !errors.Is(err, ErrExpiredToken) || len(s.seen) != 2 {
		t.Errorf("%v after %d requests", err, len(s.seen))
	}
	s.refusing = false
	s.refreshes.Store(0)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Get[map[string]any](gone, p, "example.read", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := Get[map[string]any](ctx, p, "example.read", nil); err != nil {
		t.Error(err)
	}
}

// A stream is sent once: a token that is about to end is refreshed before. A file is sent again.
func TestUploads(t *testing.T) {
	s, ctx := newStandIn(t), context.Background()
	p := client(t, s)
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Unix()))
	p.Resume(Tokens{"did:plc:x", "access." + claims + ".x", "refresh0"})
	pipe := io.LimitReader(strings.NewReader("stream and more"), 6)
	if b, err := p.Upload(ctx, "text/plain", pipe); err != nil || b.Ref.Link != "bafkrei" || len(s.seen) != 2 || s.bodies[1] != "stream" {
		t.Errorf("%+v %v %q", b, err, s.bodies)
	}
	p.Resume(Tokens{"did:plc:x", "access-old", "refresh1"})
	file := bytes.NewReader([]byte("skip file"))
	file.Seek(5, io.SeekStart)
	if _, err := p.Upload(ctx, "text/plain", io.ReadSeeker(file)); err != nil || s.bodies[len(s.bodies)-1] != "file" || s.last().ContentLength != 4 {
		t.Errorf("%v %q", err, s.bodies)
	}
	if s.last().Header.Get("Content-Type") != "text/plain" {
		t.Error(s.last().Header)
	}
}

// Calls by name: handed on, through pages, refused by name.
func TestCallsByName(t *testing.T) {
	s, ctx := newStandIn(t), context.Background()
	p := client(t, s)
	p.Resume(Tokens{"did:plc:x", "access", "refresh0"})
	var got []string
	for thing, err := range All[string](ctx, p, "example.pages", "things", nil, Via("did:web:app.example#bsky_appview")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, thing)
	}
	if fmt.Sprint(got) != "[ b c]" || s.last().Header.Get("Atproto-Proxy") != "did:web:app.example#bsky_appview" {
		t.Errorf("%q, header %q", got, s.last().Header.Get("Atproto-Proxy"))
	}
	before := len(s.seen)
	for range All[string](ctx, p, "example.pages", "things", nil) {
		break
	}
	if len(s.seen) != before+1 {
		t.Errorf("%d pages were read for the first entry", len(s.seen)-before)
	}
	_, err := Get[map[string]any](ctx, p, "example.refused", nil)
	var e *XRPCError
	if !errors.Is(err, ErrInvalidSwap) || errors.Is(err, ErrRecordNotFound) || !errors.As(err, &e) || e.Status != 400 || e.Message != "no" {
		t.Error(err)
	}
	if e := errorOf(502, []byte("<html>")); e.Name != "Unknown" || e.Status != 502 {
		t.Error(e)
	}
}
