package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
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
	TracesURL    string  `name:"traces-url" placeholder:"URL" help:"Where traces go: a collector's address for OTLP over HTTP, as http://127.0.0.1:4318; without a path, /v1/traces is added. What it wants in headers, a token for example, is LOCUS_TRACES_HEADERS (NAME=VALUE, separated by commas). Off by default." env:"LOCUS_TRACES_URL"`
	TracesSample float64 `name:"traces-sample" placeholder:"SHARE" help:"Share of requests and of pieces of background work that are traced, from 0 to 1. Where a trusted proxy sends a traceparent, it decides; default: ${default}." default:"0.01" env:"LOCUS_TRACES_SAMPLE"`
	TracesHandOn bool    `name:"traces-hand-on" help:"Send services that operators named, as an app view, the traceparent of the request that a call belongs to. Services that DID documents name never get it." env:"LOCUS_TRACES_HAND_ON"`
}

const (
	tracesHeaders = "LOCUS_TRACES_HEADERS"
	tracesPath    = "/v1/traces"
)

// collector is where traces go; nil: nowhere.
func (f traceFlags) collector() (*url.URL, error) {
	if f.TracesSample < 0 || f.TracesSample > 1 {
		return nil, fmt.Errorf("--traces-sample or LOCUS_TRACES_SAMPLE must be from 0 to 1")
	}
	if f.TracesURL == "" {
		return nil, nil
	}
	u, err := url.Parse(f.TracesURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("--traces-url or LOCUS_TRACES_URL must be of the form http://HOST:4318, without user and password") // without the text
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	if _, err := trace.ParseHeaders(os.Getenv(tracesHeaders)); err != nil {
		return nil, fmt.Errorf("%s: %w", tracesHeaders, err)
	}
	return u, nil
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
	u, err := f.collector()
	if err != nil || u == nil {
		return tracing{close: func() {}}, err
	}
	headers, _ := trace.ParseHeaders(os.Getenv(tracesHeaders)) // it was looked at
	way := outbound.New(outbound.Policy{Only: &url.URL{Scheme: u.Scheme, Host: u.Host}})
	host, _ := os.Hostname()
	t = tracing{handOn: f.TracesHandOn, proxies: s.proxies}
	t.tenants, _ = metrics.ParseTenants(metered)
	t.Traces = trace.New(trace.Config{
		URL: u.String(), Headers: headers, HTTP: way, Sample: f.TracesSample,
		Version: version(), Process: fmt.Sprintf("%s %d", host, os.Getpid()), Now: time.Now, Log: s.log,
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

// over traces requests. What is a stream for as long as somebody listens is not one of them.
func (t tracing) over(next http.Handler) http.Handler {
	if t.Traces == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Upgrade"] != nil {
			next.ServeHTTP(w, r)
			return
		}
		ctx, span := t.Begin(r, t.believes)
		if !trace.On(ctx) {
			next.ServeHTTP(w, r)
			return
		}
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
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
		span.Failed(fmt.Sprint(a.Status))
	}
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
