package trace_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auroralocus/locus/internal/trace"
)

// collector is one of OTLP over HTTP. It decodes what it gets by the published form.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	got      []*tracepb.Span
	heads    []http.Header
	resource map[string]string
	status   int
	answer   []byte
	came     chan struct{}
}

func newCollector(t *testing.T) *collector {
	c := &collector{status: http.StatusOK, came: make(chan struct{}, 1000)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := io.Reader(r.Body)
		var err error
		if r.Header.Get("Content-Encoding") == "gzip" {
			in, err = gzip.NewReader(in)
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(in)
		}
		var data tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &data)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("not OTLP: %s %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heads = append(c.heads, r.Header)
		for _, rs := range data.ResourceSpans {
			c.resource = map[string]string{}
			for _, a := range rs.Resource.Attributes {
				c.resource[a.Key] = a.Value.GetStringValue()
			}
			for _, ss := range rs.ScopeSpans {
				c.got = append(c.got, ss.Spans...)
			}
		}
		w.WriteHeader(c.status)
		_, _ = w.Write(c.answer)
		c.came <- struct{}{}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) spans() map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]*tracepb.Span{}
	for _, s := range c.got {
		out[s.Name] = s
	}
	return out
}

func attributes(s *tracepb.Span) map[string]string {
	out := map[string]string{}
	for _, a := range s.GetAttributes() {
		out[a.Key] = a.Value.GetStringValue()
		if out[a.Key] == "" {
			out[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return out
}

func config(url string, log *bytes.Buffer) trace.Config {
	return trace.Config{
		URL: url + "/v1/traces", Headers: map[string]string{"Authorization": "Bearer its-token"}, HTTP: &http.Client{Timeout: 5 * time.Second},
		Sample: 1, Version: "v", Process: "p", Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// sent runs the traces to their end.
func sent(t *trace.Traces) trace.Stats {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = t.Run(ctx)
	return t.Stats()
}

// TestCollected: a request with a statement and calls inside arrives at a collector as one trace, with codes and names and
// nothing that anybody sent.
func TestCollected(t *testing.T) {
	c := newCollector(t)
	var given http.Header
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given = r.Header
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer service.Close()
	traces := trace.New(config(c.URL, new(bytes.Buffer)))
	ctx, span := traces.Begin(httptest.NewRequest("GET", "/xrpc/a.b.c?secret=of-a-query", nil), nil)
	span.Name("a.b.c")
	tracer := trace.Postgres{}
	asked := tracer.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{SQL: "-- name: GetThing :one\nSELECT 1", Args: []any{"an-argument"}})
	tracer.TraceQueryEnd(asked, nil, pgx.TraceQueryEndData{Err: &pgconn.PgError{Code: "23505", Detail: "Key (email)=(private)"}})
	batch := &pgx.Batch{}
	batch.Queue("-- name: InsertA :exec\nINSERT", "private")
	batch.Queue("COMMIT;")
	asked = tracer.TraceBatchStart(ctx, nil, pgx.TraceBatchStartData{Batch: batch})
	tracer.TraceBatchEnd(asked, nil, pgx.TraceBatchEndData{})
	for _, handOn := range []bool{false, true} {
		way := trace.Way{Below: http.DefaultTransport, Service: func(*http.Request) string { return "plc" }, HandOn: handOn}
		r, _ := http.NewRequestWithContext(ctx, "GET", service.URL+"/did:plc:private", nil)
		resp, err := way.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := given.Get("Traceparent"); handOn != strings.Contains(got, trace.ID(ctx)) || r.Header.Get("Traceparent") != "" {
			t.Errorf("handed on: %v, %q", handOn, got)
		}
	}
	span.End()
	if s := sent(traces); s != (trace.Stats{Sent: 5}) {
		t.Errorf("%+v", s)
	}
	all := c.spans()
	top := all["a.b.c"]
	for name, want := range map[string]map[string]string{
		"postgres GetThing": {"db.operation.name": "GetThing", "db.response.status_code": "23505", "db.system.name": "postgresql"},
		"postgres batch":    {"db.operation.name": "InsertA commit", "db.operation.batch.size": "2", "db.system.name": "postgresql"},
		"call plc":          {"server.address": "plc", "http.request.method": "GET", "http.response.status_code": "502"},
	} {
		s := all[name]
		if s == nil || !bytes.Equal(s.TraceId, top.TraceId) || !bytes.Equal(s.ParentSpanId, top.SpanId) {
			t.Errorf("%s is not within the request: %v", name, s)
			continue
		}
		if got := attributes(s); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if text := fmt.Sprint(c.got); strings.Contains(text, "private") || strings.Contains(text, "argument") || strings.Contains(text, "secret") {
		t.Error("what somebody sent is in a span:", text)
	}
	if got := c.heads[0].Get("Authorization"); got != "Bearer its-token" {
		t.Errorf("the collector was sent %q", got)
	}
}

// TestWhoDecides: a trace that a request belongs to is taken from those who are believed, with what they decided.
func TestWhoDecides(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	request := func(flags string) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-"+flags)
		return r
	}
	yes, no := func(*http.Request) bool { return true }, func(*http.Request) bool { return false }
	cfg := config("http://127.0.0.1:1", new(bytes.Buffer))
	all := trace.New(cfg)
	cfg.Sample = 0
	none := trace.New(cfg)
	for _, c := range []struct {
		of       *trace.Traces
		flags    string
		believed func(*http.Request) bool
		on, same bool
	}{
		{all, "01", yes, true, true},
		{none, "01", yes, true, true},
		{all, "00", yes, false, false},
		{all, "01", no, true, false},
		{all, "00", no, true, false},
		{none, "01", no, false, false},
		{all, "zz", yes, true, false}, // it says nothing
		{nil, "01", yes, false, false},
	} {
		ctx, span := c.of.Begin(request(c.flags), c.believed)
		if trace.On(ctx) != c.on || (trace.ID(ctx) == id) != c.same {
			t.Errorf("%+v: on %v, trace %q", c, trace.On(ctx), trace.ID(ctx))
		}
		span.End()
	}
	cfg.Sample, cfg.Alone = 1, true
	alone := trace.New(cfg)
	ctx, _ := alone.Begin(request("00"), yes)
	cfg.Sample = 0
	if none, _ := trace.New(cfg).Begin(request("01"), yes); trace.On(none) || trace.ID(ctx) != id {
		t.Errorf("where a caller's decision does not count: %q, %q", trace.ID(ctx), trace.ID(none))
	}
	cfg.Sample, cfg.Alone = 0.5, false
	half, n := trace.New(cfg), 0
	for range 10000 {
		if ctx, _ := half.Work(context.Background(), "work"); trace.On(ctx) {
			n++
		}
	}
	if n < 4500 || n > 5500 { // ten standard deviations
		t.Errorf("%d of 10000 at one half", n)
	}
}

// TestCollectorAway: without a collector nothing waits. One line says so, one when it is back, and what is lost is counted.
func TestCollectorAway(t *testing.T) {
	c := newCollector(t)
	c.status = http.StatusServiceUnavailable
	var log bytes.Buffer
	traces := trace.New(config(c.URL, &log))
	fill := func(n int) {
		for range n {
			_, span := traces.Work(context.Background(), "work")
			span.End()
		}
	}
	fill(5000) // more than there is room for
	first := traces.Stats()
	if first.Waiting != 4096 || first.Dropped != 5000-4096 {
		t.Errorf("%+v", first)
	}
	for range 3 { // each is refused one batch and gives up
		sent(traces)
		fill(1)
	}
	if s := traces.Stats(); s.Refused != 3*512 || s.Sent != 0 {
		t.Errorf("%+v", s)
	}
	c.status = http.StatusOK
	if s := sent(traces); s.Sent != 4096-3*512+3 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "takes no spans") || !strings.Contains(text, "again") || strings.Contains(text, "token") {
		t.Errorf("the log says:\n%s", text)
	}
	fill(3)
	before := traces.Stats().Sent
	c.answer = []byte{0x0a, 0x02, 0x08, 0x01} // partial success: one span rejected
	if s := sent(traces); s.Refused != 3*512+1 || s.Sent != before+2 {
		t.Errorf("rejected spans are not counted: %+v", s)
	}
}

// TestRunSends: spans are sent while the process runs.
func TestRunSends(t *testing.T) {
	c := newCollector(t)
	traces := trace.New(config(c.URL, new(bytes.Buffer)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = traces.Run(ctx); close(ended) }()
	for range 600 {
		_, span := traces.Work(ctx, "work")
		span.End()
	}
	<-c.came
	cancel()
	<-ended
	if s := traces.Stats(); s.Sent != 600 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// TestLongTrace: a trace has a bound, and says what it leaves out.
func TestLongTrace(t *testing.T) {
	c := newCollector(t)
	traces := trace.New(config(c.URL, new(bytes.Buffer)))
	ctx, span := traces.Work(context.Background(), "job")
	for range 1500 {
		_, s := trace.Start(ctx, "step", trace.Inside)
		s.End()
	}
	span.End()
	sent(traces)
	if len(c.got) != 1000 || attributes(c.spans()["job"])["locus.spans_left_out"] != "501" {
		t.Errorf("%d spans, %v", len(c.got), attributes(c.spans()["job"]))
	}
}

// TestJoined: work for many is part of one's trace, and has its own end of patience.
func TestJoined(t *testing.T) {
	c := newCollector(t)
	traces := trace.New(config(c.URL, new(bytes.Buffer)))
	whose, cancel := context.WithCancel(context.Background())
	whose, span := traces.Work(whose, "request")
	ctx := trace.Joined(context.Background(), whose)
	cancel()
	_, inside := trace.Start(ctx, "group", trace.Inside)
	inside.End()
	span.End()
	sent(traces)
	if ctx.Err() != nil || hex.EncodeToString(c.spans()["group"].ParentSpanId) != hex.EncodeToString(c.spans()["request"].SpanId) {
		t.Error(ctx.Err(), c.got)
	}
	if got := trace.Joined(context.Background(), context.Background()); trace.On(got) {
		t.Error("nothing is traced, and it says so")
	}
}

func TestParseHeaders(t *testing.T) {
	got, err := trace.ParseHeaders("Authorization=Bearer a=b, X-Team = x,")
	if err != nil || fmt.Sprint(got) != "map[Authorization:Bearer a=b X-Team:x]" {
		t.Error(got, err)
	}
	for _, bad := range []string{"a", "=x", "a b=c", "a=b\r\nc"} {
		if _, err := trace.ParseHeaders(bad); err == nil || err.Error() != trace.ErrHeaders.Error() {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// BenchmarkRequest is what tracing costs a request of five statements.
func BenchmarkRequest(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	for _, c := range []struct {
		name   string
		sample float64
	}{{"off", -1}, {"none", 0}, {"1%", 0.01}, {"100%", 1}} {
		b.Run(c.name, func(b *testing.B) {
			var traces *trace.Traces
			tracer := pgx.QueryTracer(nil)
			if c.sample >= 0 {
				cfg := config(server.URL, new(bytes.Buffer))
				cfg.Sample = c.sample
				traces, tracer = trace.New(cfg), trace.Postgres{}
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan struct{})
				go func() { _ = traces.Run(ctx); close(ended) }()
				defer func() { cancel(); <-ended }()
			}
			r := httptest.NewRequest("GET", "/xrpc/com.atproto.repo.getRecord", nil)
			b.ReportAllocs()
			for b.Loop() {
				ctx, span := traces.Begin(r, nil)
				for range 5 {
					if tracer != nil {
						q := tracer.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{SQL: "-- name: GetRecord :one\nSELECT 1"})
						tracer.TraceQueryEnd(q, nil, pgx.TraceQueryEndData{})
					}
				}
				of := trace.Of(ctx)
				of.Name("com.atproto.repo.getRecord")
				of.Text("locus.request_id", "19c2f0a1b7e-512")
				of.Number("http.response.status_code", 200)
				span.End()
			}
		})
	}
}
