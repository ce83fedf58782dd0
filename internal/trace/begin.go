package trace

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"
)

// Limits of one span. What is set here is far less.
const (
	spanAttributes = 16
	spanText       = 256
)

// Config says where spans go. All of it is needed but Headers, Plain, Alone, Service and Resource.
type Config struct {
	URL     string            // of the collector's OTLP over HTTP: http://127.0.0.1:4318/v1/traces
	Headers map[string]string // that it is sent: a token of its own
	HTTP    *http.Client      // the way to it
	Plain   bool              // spans go as they are, not compressed
	// Sample is the share of requests and of pieces of work that are traced, from 0 to 1. Those whose trusted proxy has
	// decided are not drawn, unless Alone.
	Sample float64
	Alone  bool
	// Service is what this program is called, Resource what else is said of it; both as the operator wants.
	Service  string
	Resource map[string]string
	// Version and Process are this program's and this process's.
	Version, Process string
	Now              func() time.Time
	Log              *slog.Logger
}

// Traces begins traces and sends what is written down. A nil *Traces traces nothing. It is safe for concurrent use.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
	queue    *queue
	sample   float64
	alone    bool
}

// New makes the traces of a process. Nothing is sent before [Traces.Run].
func New(cfg Config) *Traces {
	q := newQueue(otlptrace.NewUnstarted(&uplink{cfg: cfg}), cfg.Now, cfg.Log)
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()), // what is not to be traced never comes to it
		sdk.WithSpanProcessor(q),
		sdk.WithResource(resource.NewSchemaless(cfg.resource()...)),
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeCountLimit: spanAttributes, AttributeValueLengthLimit: spanText}),
	)
	return &Traces{provider: provider, tracer: provider.Tracer("aurora-locus"), queue: q, sample: cfg.Sample, alone: cfg.Alone}
}

// resource is what is said of the process with all its spans. What the operator says goes before what the program knows.
func (c Config) resource() []attribute.KeyValue {
	all := map[string]string{"service.name": "aurora-locus", "service.version": c.Version, "service.instance.id": c.Process}
	maps.Copy(all, c.Resource)
	if c.Service != "" {
		all["service.name"] = c.Service
	}
	var out []attribute.KeyValue
	for key, value := range all {
		out = append(out, attribute.String(key, value))
	}
	return out
}

// Begin begins the trace of a request. What its headers say of a trace that it belongs to is taken where believed says
// that who sent them may say so. They are W3C Trace Context's.
func (t *Traces) Begin(r *http.Request, believed func(*http.Request) bool) (context.Context, Span) {
	if t == nil {
		return r.Context(), Span{}
	}
	ctx := r.Context()
	if r.Header["Traceparent"] != nil && believed(r) {
		given := propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		if from := otel.SpanContextFromContext(given); from.IsValid() {
			if t.alone && !t.drawn() || !t.alone && !from.IsSampled() {
				return ctx, Span{}
			}
			return t.begin(given, "request", Request)
		}
	}
	if !t.drawn() {
		return ctx, Span{}
	}
	return t.begin(ctx, "request", Request)
}

// Work begins the trace of work that no request waits for. The name is one of the program's.
func (t *Traces) Work(ctx context.Context, name string) (context.Context, Span) {
	if t == nil || !t.drawn() {
		return ctx, Span{}
	}
	return t.begin(ctx, name, Inside)
}

func (t *Traces) drawn() bool { return t.sample > 0 && (t.sample >= 1 || rand.Float64() < t.sample) }

func (t *Traces) begin(ctx context.Context, name string, kind Kind) (context.Context, Span) {
	r := &root{tracer: t.tracer}
	r.spans.Store(1)
	ctx, span := t.tracer.Start(context.WithValue(ctx, rootKey{}, r), name, otel.WithSpanKind(kind))
	r.first = Span{span: span, root: r}
	return ctx, r.first
}

// Run sends what is written down until ctx ends, and then what is left, for a moment.
func (t *Traces) Run(ctx context.Context) error { return t.queue.run(ctx) }

// Stats asks nobody.
func (t *Traces) Stats() Stats { return t.queue.stats() }

// ErrHeaders: not a list of headers.
var ErrHeaders = errors.New("not a list of headers: NAME=VALUE, separated by commas")

// ParseHeaders reads "Authorization=Bearer x,X-Team=a". Errors: [ErrHeaders], without what was given.
func ParseHeaders(text string) (map[string]string, error) {
	out := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " :\t\r\n") || strings.ContainsAny(value, "\r\n") {
			return nil, ErrHeaders
		}
		out[name] = value
	}
	return out, nil
}
