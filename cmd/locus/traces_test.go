package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestTraces: a server sends what its requests and its work took to a collector, in the published form: a request, its
// commit and the commit's statements are one trace; a proxy's own trace goes on through the app view; nothing that
// people send or have is in it.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var spans []*tracepb.Span
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &data)
		}
		if err != nil || r.URL.Path != tracesPath || r.Header.Get("X-Team") != "a" {
			t.Errorf("%s: %v %v", r.URL.Path, r.Header, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				spans = append(spans, ss.Spans...)
			}
		}
	}))
	defer collector.Close()
	var handedOn string
	view := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handedOn = r.Header.Get("Traceparent")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"suggestions":[]}`)
	}))
	defer view.Close()
	s := serveAs(t, t.TempDir(), func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+dbtest.EmptyURL(t), "LOCUS_TRACES_HEADERS=X-Team=a")
		cmd.Args = append(cmd.Args, "--traces-url", collector.URL, "--traces-sample", "1", "--traces-hand-on", "--metrics-tenants", "localhost",
			"--app-view", "did:web:view.example#bsky_appview="+strings.Replace(view.URL, "127.0.0.1", "localhost", 1))
	})
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": devPassword})
	var session struct{ AccessJwt, DID string }
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatal(status, body, err)
	}
	if status, body := s.post("localhost", "com.atproto.repo.createRecord", session.AccessJwt, map[string]any{
		"repo": session.DID, "collection": "app.bsky.feed.post",
		"record": map[string]any{"$type": "app.bsky.feed.post", "text": "what-people-write", "createdAt": "2026-01-01T00:00:00Z"},
	}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+s.port+"/xrpc/app.bsky.actor.getSuggestions?limit=17", nil)
	must(t, err)
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+session.AccessJwt)
	r.Header.Set("Traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	_ = resp.Body.Close()
	id := resp.Header.Get("X-Request-Id")
	s.stop() // sends what is left

	mu.Lock()
	defer mu.Unlock()
	find := func(name string, of *tracepb.Span) *tracepb.Span {
		t.Helper()
		for _, s := range spans {
			if s.Name == name && (of == nil || bytes.Equal(s.ParentSpanId, of.SpanId) && bytes.Equal(s.TraceId, of.TraceId)) {
				return s
			}
		}
		t.Fatalf("there is no span %s of %v in %v", name, of, spans)
		return nil
	}
	write := find("com.atproto.repo.createRecord", nil)
	group := find("postgres batch", find("commit", write))
	said := fmt.Sprint(write.Attributes, group.Attributes)
	for _, want := range []string{"locus.tenant", `"localhost"`, "locus.request_id", "http.response.status_code", "UpdateRepoHeads", "InsertCommitEvents"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is not said: %s", want, said)
		}
	}
	find("com.atproto.server.createSession", nil)
	proxied := find("other", nil)
	if got := fmt.Sprint(proxied.Attributes); resp.StatusCode != http.StatusOK || hex.EncodeToString(proxied.TraceId) != theirs || !strings.Contains(got, id) {
		t.Errorf("%d, request %s: %s %v", resp.StatusCode, id, got, proxied)
	}
	call := find("call "+strings.Replace(strings.TrimPrefix(view.URL, "http://"), "127.0.0.1", "localhost", 1), proxied)
	if handedOn != "00-"+theirs+"-"+hex.EncodeToString(call.SpanId)+"-01" {
		t.Errorf("the app view was handed %q", handedOn)
	}
	all := fmt.Sprint(spans)
	for _, secret := range []string{"what-people-write", devPassword, session.AccessJwt, session.DID, "alice", "limit=17", "127.0.0.1"} {
		if strings.Contains(all, secret) {
			t.Errorf("a span has %.30s in it", secret)
		}
	}
}
