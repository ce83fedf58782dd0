package main

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/trace"
	sdk "github.com/auroralocus/locus/openapi/clients/go/operator"
)

// TestTraces: a server sends what its requests and its work took to a collector, in the published form: a request, its
// commit and the commit's statements are one trace; a proxy's own trace goes on through the app view; nothing that
// people send or have is in it.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var spans []*tracepb.Span
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var data tracepb.TracesData
		in, err := gzip.NewReader(r.Body)
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(in); err == nil {
				err = proto.Unmarshal(body, &data)
			}
		}
		if err != nil || r.URL.Path != tracesPath || r.Header.Get("X-Team") != "a" {
			t.Errorf("%s: %v %v", r.URL.Path, r.Header, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range data.ResourceSpans {
			if of := fmt.Sprint(rs.Resource.Attributes); !strings.Contains(of, `"the-pds"`) || !strings.Contains(of, `"a place"`) {
				t.Errorf("the spans are of %s", of)
			}
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
	dir, database, operators, admin := t.TempDir(), dbtest.EmptyURL(t), freePort(t), freePort(t)
	s := serveAs(t, dir, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+database, "LOCUS_TRACES_HEADERS=X-Team=a",
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_SERVICE_NAME=the-pds", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=a%20place")
		cmd.Args = append(cmd.Args, "--operator-listen", operators, "--admin-listen", "127.0.0.1:"+admin)
		cmd.Args = append(cmd.Args, "--traces-url", collector.URL, "--traces-sample", "1", "--traces-hand-on", "--metrics-tenants", "localhost",
			"--app-view", "did:web:view.example#bsky_appview="+strings.Replace(view.URL, "127.0.0.1", "localhost", 1))
	})
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": devPassword})
	var session struct{ AccessJwt, DID string }
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatal(status, body, err)
	}
	stream, _, err := websocket.Dial(t.Context(), "ws://127.0.0.1:"+s.port+"/xrpc/com.atproto.sync.subscribeRepos", &websocket.DialOptions{Host: "localhost"})
	must(t, err)
	defer stream.CloseNow()
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
	token, errs, err := runWith(t, []string{"LOCUS_DATABASE_URL=" + database}, "token", "create", "support", "--label", "x", "--data-dir", dir)
	if err != nil {
		t.Fatal(err, errs)
	}
	api, err := sdk.New("http://127.0.0.1:"+operators, strings.TrimSpace(token))
	must(t, err)
	me, err := api.WhoAmIWithResponse(t.Context())
	must(t, sdk.Check(me, err))
	for _, path := range []string{"/admin/sign-in", "/admin/what-people-write"} {
		page, err := http.Get("http://127.0.0.1:" + admin + path)
		must(t, err)
		_ = page.Body.Close()
	}
	if _, _, err := stream.Read(t.Context()); err != nil { // it has been open all the while
		t.Fatal(err)
	}
	eventually(t, "the span of a stream that is open", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(spans, func(s *tracepb.Span) bool {
			return s.Name == "com.atproto.sync.subscribeRepos" && strings.Contains(fmt.Sprint(s.Attributes), "int_value:101")
		})
	})
	_ = stream.CloseNow()
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
	stood := find("com.atproto.sync.subscribeRepos", nil)
	for _, s := range spans {
		if bytes.Equal(s.TraceId, stood.TraceId) && s.StartTimeUnixNano > stood.EndTimeUnixNano {
			t.Errorf("a stream is traced while it lasts: %v", s)
		}
	}
	for name, status := range map[string]string{"operator whoAmI": "200", "dashboard GET /admin/sign-in": "200", "dashboard other": "404"} {
		if got := fmt.Sprint(find(name, nil).Attributes); !strings.Contains(got, "int_value:"+status) || !strings.Contains(got, `"operator"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	proxied := find("other", nil)
	if got := fmt.Sprint(proxied.Attributes); resp.StatusCode != http.StatusOK || hex.EncodeToString(proxied.TraceId) != theirs || !strings.Contains(got, id) {
		t.Errorf("%d, request %s: %s %v", resp.StatusCode, id, got, proxied)
	}
	call := find("call "+strings.Replace(strings.TrimPrefix(view.URL, "http://"), "127.0.0.1", "localhost", 1), proxied)
	if handedOn != "00-"+theirs+"-"+hex.EncodeToString(call.SpanId)+"-01" {
		t.Errorf("the app view was handed %q", handedOn)
	}
	all := fmt.Sprint(spans)
	for _, secret := range []string{"what-people-write", devPassword, session.AccessJwt, session.DID, "alice", "limit=17", "127.0.0.1", strings.TrimSpace(token)} {
		if strings.Contains(all, secret) {
			t.Errorf("a span has %.30s in it", secret)
		}
	}
}

// TestTraceSettings: settings go before OpenTelemetry's variables, each by itself; a token goes to the collector only that
// it was given for.
func TestTraceSettings(t *testing.T) {
	half := 0.5
	for _, c := range []struct {
		flags traceFlags
		env   string
		want  string
	}{
		{traceFlags{}, "", "<nil> map[] 0.01 false"},
		{traceFlags{}, "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_HEADERS=a=b", "http://c:4318/v1/traces map[a:b] 0.01 false"},
		{traceFlags{}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318 OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.2", "http://c:4318 map[] 0.2 true"},
		{traceFlags{TracesURL: "http://d"}, "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_HEADERS=a=b OTEL_SDK_DISABLED=true", "http://d/v1/traces map[] 0.01 false"},
		{traceFlags{}, "OTEL_EXPORTER_OTLP_ENDPOINT=http://c LOCUS_TRACES_HEADERS=x=y OTEL_EXPORTER_OTLP_HEADERS=a=b", "http://c/v1/traces map[x:y] 0.01 false"},
		{traceFlags{TracesSample: &half}, "OTEL_TRACES_SAMPLER=always_on", "<nil> map[] 0.5 false"},
		{traceFlags{}, "OTEL_EXPORTER_OTLP_ENDPOINT=c:4318", "OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be of the form"},
		{traceFlags{TracesURL: "http://user:word@c"}, "", "--traces-url or LOCUS_TRACES_URL must be of the form"},
	} {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SDK_DISABLED", tracesHeaders} {
			t.Setenv(name, "")
		}
		for _, pair := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(pair, "=")
			t.Setenv(name, value)
		}
		got, err := c.flags.collector()
		if err != nil {
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%+v %s: %v", c.flags, c.env, err)
			}
			continue
		}
		if said := fmt.Sprintf("%v %v %v %v", got.url, got.headers, got.sample, got.env.Alone); said != c.want {
			t.Errorf("%+v %s: %s, not %s", c.flags, c.env, said, c.want)
		}
	}
}

// TestOperatedStream: the span of a stream of an operator's ends where the stream begins, that of a refused one when it is
// answered.
func TestOperatedStream(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusForbidden} {
		traces := tracing{Traces: trace.New(trace.Config{Sample: 1})}
		inside := true
		h := traces.operated(func(*http.Request) (string, bool) { return "operator watch", true }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !trace.On(r.Context()) {
				t.Error("not traced")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "data")
			inside = trace.On(r.Context())
			_ = http.NewResponseController(w).Flush()
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != status || !w.Flushed || inside != (status != http.StatusOK) || traces.Stats().Waiting != 1 {
			t.Errorf("%d: %d, flushed %v, traced %v, %+v", status, w.Code, w.Flushed, inside, traces.Stats())
		}
	}
}
