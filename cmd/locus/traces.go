package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/metrics"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/trace"
	"github.com/auroralocus/locus/internal/xrpc"
)

// traceFlags say whether, how much and where to a process writes down where time goes.
type traceFlags struct {
	TracesURL    string   `name:"traces-url" placeholder:"URL" help:"Where traces go: a collector's address for OTLP over HTTP, as http://127.0.0.1:4318; without a path, /v1/traces is added. What it wants in headers, a token for example, is LOCUS_TRACES_HEADERS (NAME=VALUE, separated by commas). Off by default. OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and others) count where nothing is said here." env:"LOCUS_TRACES_URL"`
	TracesSample *float64 `name:"traces-sample" placeholder:"SHARE" help:"Share of requests and of pieces of background work that are traced, from 0 to 1. Where a trusted proxy sends a traceparent, it decides; default: 0.01, or what OTEL_TRACES_SAMPLER says." env:"LOCUS_TRACES_SAMPLE"`
	TracesHandOn bool     `name:"traces-hand-on" help:"Send services that operators named, as an app view, the traceparent of the request that a call belongs to. Services that DID documents name never get it." env:"LOCUS_TRACES_HAND_ON"`
}

const (
	tracesHeaders = "LOCUS_TRACES_HEADERS"
	tracesPath    = "/v1/traces"
	tracesSample  = 0.01
)

// collecting is where traces go, and how.
type collecting struct {
	url     *url.URL // nil: nowhere
	headers map[string]string
	sample  float64
	env     trace.Environment
}

// collector puts together what settings say and, where they say nothing, what OpenTelemetry's own variables do.
func (f traceFlags) collector() (c collecting, err error) {
	c.env = trace.FromEnvironment(os.Getenv)
	c.sample = tracesSample
	switch {
	case f.TracesSample != nil:
		c.sample, c.env.Alone = *f.TracesSample, false
	case c.env.Sample != nil:
		c.sample = *c.env.Sample
	}
	if !(c.sample >= 0 && c.sample <= 1) {
		return c, fmt.Errorf("--traces-sample or LOCUS_TRACES_SAMPLE must be from 0 to 1")
	}
	text, from := f.TracesURL, "--traces-url or LOCUS_TRACES_URL"
	if text == "" {
		text, from = c.env.URL, "OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	}
	if text == "" {
		return c, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return c, fmt.Errorf("%s must be of the form http://HOST:4318, without user and password", from) // without the text
	}
	if f.TracesURL != "" && (u.Path == "" || u.Path == "/") {
		u.Path = tracesPath
	}
	if c.headers, err = trace.ParseHeaders(os.Getenv(tracesHeaders)); err != nil {
		return c, fmt.Errorf("%s: %w", tracesHeaders, err)
	}
	if len(c.headers) == 0 && f.TracesURL == "" { // a token is for the collector that it was given for
		c.headers = c.env.Headers
	}
	c.url = u
	return c, nil
}

// tracing is what a process has for its traces; its traces are nil where there are none.
type tracing struct {
	*trace.Traces
	handOn  bool
	proxies inbound.Proxies
	tenants metrics.Tenants // that are named in spans
	close   func()          // sends what is left
}

// traces begins to send. It ends after everything that is traced has ended.
func (f traceFlags) traces(s *serving, metered string) (t tracing, err error) {
	c, err := f.collector()
	for _, remark := range c.env.Remarks {
		s.log.Warn("a variable of OpenTelemetry is not followed", "what", remark)
	}
	if err != nil || c.url == nil {
		return tracing{close: func() {}}, err
	}
	way := outbound.New(outbound.Policy{Only: &url.URL{Scheme: c.url.Scheme, Host: c.url.Host}})
	host, _ := os.Hostname()
	t = tracing{handOn: f.TracesHandOn, proxies: s.proxies}
	t.tenants, _ = metrics.ParseTenants(metered)
	t.Traces = trace.New(trace.Config{
		URL: c.url.String(), Headers: c.headers, HTTP: way, Plain: c.env.Plain, Sample: c.sample, Alone: c.env.Alone,
		Service: c.env.Service, Resource: c.env.Resource, Version: version(), Process: fmt.Sprintf("%s %d", host, os.Getpid()), Now: time.Now, Log: s.log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = t.Run(ctx) // its end is ctx's
	}()
	t.close = func() {
		cancel()
		<-ended
		way.CloseIdleConnections()
	}
	return t, nil
}

// tracer is what the database tells of statements.
func (t tracing) tracer() pgx.QueryTracer {
	if t.Traces == nil {
		return nil
	}
	return trace.Postgres{}
}

// over traces requests. What they were is said when they are answered ([tracing.note]), or a stream of theirs has come
// about ([tracing.opened]).
func (t tracing) over(next http.Handler) http.Handler {
	if t.Traces == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.Begin(r, t.believes)
		if !trace.On(ctx) {
			next.ServeHTTP(w, r)
			return
		}
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// operated traces requests of operators. The name is one of the program's.
func (t tracing) operated(name func(*http.Request) (name string, stream bool), next http.Handler) http.Handler {
	if t.Traces == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.Begin(r, t.believes)
		if !trace.On(ctx) {
			next.ServeHTTP(w, r)
			return
		}
		defer span.End()
		what, stream := name(r)
		span.Name(what)
		span.Text("http.request.method", verb(r.Method))
		span.Text("locus.class", "operator")
		next.ServeHTTP(&statusOf{ResponseWriter: w, span: span, stream: stream}, r.WithContext(ctx))
	})
}

// statusOf says in a span how a request was answered.
type statusOf struct {
	http.ResponseWriter
	span   trace.Span
	stream bool // the span ends when it begins
	said   bool
}

func (w *statusOf) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusOf) WriteHeader(status int) {
	if !w.said {
		w.said = true
		w.span.Text("locus.request_id", w.Header().Get("X-Request-Id"))
		w.span.Number("http.response.status_code", int64(status))
		if status >= http.StatusInternalServerError {
			w.span.Failed(strconv.Itoa(status))
		}
		if w.stream && status < http.StatusMultipleChoices {
			w.span.Part()
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusOf) Write(p []byte) (int, error) {
	if !w.said {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// believes tells whether who sends a request may say which trace it belongs to.
func (t tracing) believes(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil || t.proxies.Trusts(peer.Addr()) // who comes by a Unix socket has no address
}

// note says in a request's span what it was.
func (t tracing) note(a *xrpc.Answered) {
	if !trace.On(a.Request.Context()) {
		return
	}
	span := trace.Of(a.Request.Context())
	span.Name(a.Method)
	span.Text("http.request.method", verb(a.Request.Method))
	span.Text("rpc.method", a.Method)
	span.Text("locus.class", a.Class)
	span.Text("locus.request_id", a.ID)
	span.Number("http.response.status_code", int64(a.Status))
	if a.Tenant != nil && slices.Contains(t.tenants.Named, a.Tenant.Hostname) {
		span.Text("locus.tenant", a.Tenant.Hostname)
	}
	if a.Status >= http.StatusInternalServerError {
		span.Failed(strconv.Itoa(a.Status))
	}
}

// opened says what came of a request for a stream, and ends its span: the stream goes on for as long as somebody listens.
func (t tracing) opened(a *xrpc.Answered) {
	t.note(a)
	trace.First(a.Request.Context()).Part()
}

// outside traces the calls that are made in this network.
func (t tracing) outside(n network) {
	if t.Traces == nil {
		return
	}
	fixed := func(name string) func(*http.Request) string { return func(*http.Request) string { return name } }
	known := &services{known: map[string]bool{}}
	n.client.Transport = trace.Way{Below: n.client.Transport, Service: fixed("documents")}
	n.public.Transport = trace.Way{Below: n.public.Transport, Service: fixed(servicePublic)}
	n.named.Transport = trace.Way{Below: n.named.Transport, HandOn: t.handOn, Service: func(r *http.Request) string { return known.name(r.URL.Host) }}
	if n.remote != nil {
		n.remote.Through(func(below http.RoundTripper) http.RoundTripper {
			return trace.Way{Below: below, Service: fixed(servicePLC)}
		})
	}
}

// work traces pieces of work of one sort: what is due, jobs.
func (t tracing) work(sort string) func(context.Context, string) (context.Context, func(error)) {
	return func(ctx context.Context, kind string) (context.Context, func(error)) {
		ctx, span := t.Work(ctx, sort+" "+kind)
		return ctx, func(err error) {
			if err != nil {
				span.Failed("failed")
			}
			span.End()
		}
	}
}

// show says what became of the spans.
func (t tracing) show(m *metrics.Metrics) {
	m.ShowBy(metrics.Counter, "trace_spans_total", "Spans of traces, by what became of them: sent, refused (the collector took none, or did not answer), dropped (there was no room while it did not answer).", []string{"outcome"}, func(emit func(float64, ...string)) {
		var s trace.Stats
		if t.Traces != nil {
			s = t.Stats()
		}
		emit(float64(s.Sent), "sent")
		emit(float64(s.Refused), "refused")
		emit(float64(s.Dropped), "dropped")
	})
}
